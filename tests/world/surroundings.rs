//! What happens to the service by accident: stores that fail, kills, clocks that jump, and time.

use std::time::Duration;

use crate::world::World;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Time goes by.
pub fn time(world: &mut World) {
    let is_copied = world.stations.iter().any(|station| station.is_running());
    let (hours, days) = if is_copied { (30, 1) } else { (12, 6) };
    let unit = world.random.weighted(&[(8, MINUTE), (hours, HOUR), (days, DAY), (1, 15 * DAY)]);
    let by = Duration::from_secs(unit * (1 + world.random.below(8)));
    world.note(format!("{} minutes go by", by.as_secs() / MINUTE));
    let pieces = if world.random.percent(30) { 2 } else { 1 };
    world.advance(by, pieces);
}

/// The stores answer nothing for a while.
pub fn store_fails(world: &mut World) {
    let until = world.worker.clock.elapsed() + Duration::from_secs(HOUR * (1 + world.random.below(20)));
    world.worker.site().blobs.fails_until = until;
    world.note("the stores begin to fail");
}

/// Documents take long to be put, or do not any more.
pub fn store_is_slow(world: &mut World) {
    let takes = Duration::from_secs(if world.random.percent(50) { 0 } else { 10 * MINUTE });
    world.worker.site().blobs.document_takes = takes;
    world.note(format!("a document takes {} s", takes.as_secs()));
}

/// The service will be killed soon, wherever it is then.
pub fn kill(world: &mut World) {
    let calls = world.random.below(60);
    world.worker.clock.kill_after(calls);
    world.note(format!("the service will be killed after {calls} calls"));
    world.rounds(1);
}

pub fn restart(world: &mut World) {
    world.stop_and_start();
}

/// The wall clock is set: forward by days, or back a little.
pub fn clock_jumps(world: &mut World) {
    let by = match world.random.percent(50) {
        true => time::Duration::days(1 + world.random.below(20).cast_signed()),
        false => -time::Duration::minutes(1 + world.random.below(50).cast_signed()),
    };
    world.worker.clock.jump(by);
    world.note(format!("the clock jumps by {} minutes", by.whole_minutes()));
}
