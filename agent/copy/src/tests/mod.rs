//! Tests of single stages, where the whole program would hide what is tested.

mod crew;
mod hashing;
mod reading;
mod sending;
