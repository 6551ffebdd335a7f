//! Tests of the stages and operations against a store in memory.
