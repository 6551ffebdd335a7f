//! Tests of single stages, where the whole program would hide what is tested.

mod hash_pool;
mod hashing;
mod reading;
mod sending;
