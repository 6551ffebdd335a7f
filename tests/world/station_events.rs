//! What happens to stations and their hosts: restarts, sleep, cuts of the network, losses, and hosts that take a name over.

use std::time::Duration;

use serde_json::{Value, json};

use crate::customers;
use crate::world::World;

const MINUTE: Duration = Duration::from_secs(60);

type Event = fn(&mut World);

/// What can happen to stations, each with its weight.
const EVENTS: [(u64, Event); 9] =
    [(3, cancel), (5, restart), (8, sleep), (6, cut_off), (4, slow), (2, lose), (2, replace), (1, revoke), (2, intrude)];

/// Something happens to a station.
pub fn something(world: &mut World) {
    if world.random.percent(50) {
        end_intruders(world);
    }
    let event = world.random.weighted(&EVENTS);
    event(world);
}

/// A job is cancelled that a station copies for.
fn cancel(world: &mut World) {
    let copied = jobs_copied(world, |host| host != 0);
    cancel_one(world, &copied);
}

/// The jobs for which copies run at these hosts.
fn jobs_copied(world: &World, is_host: impl Fn(usize) -> bool) -> Vec<usize> {
    let uids: Vec<String> = {
        let site = world.worker.site();
        site.copies.iter().filter(|copy| is_host(copy.host)).map(|copy| copy.order.job_uid.clone()).collect()
    };
    let is_copied = |job: &usize| world.jobs[*job].uid.as_ref().is_some_and(|uid| uids.contains(uid));
    world.living_jobs().into_iter().filter(is_copied).collect()
}

fn cancel_one(world: &mut World, copied: &[usize]) {
    if !copied.is_empty() {
        let job = world.random.of(copied);
        world.worker.site().tally("a job is cancelled while a station copies for it");
        customers::cancel_job(world, job);
    }
}

/// Hosts without drives have numbers from here.
const INTRUDERS: usize = 1000;

/// The token of a station is copied to another host, which calls too.
fn intrude(world: &mut World) {
    let Some(index) = one(world).filter(|index| world.stations[*index].is_healthy()) else { return };
    let intruder = world.stations[index].intruder(INTRUDERS + world.stations.len());
    note(world, index, "another host has the token of a living station", Duration::ZERO);
    world.stations.push(intruder);
    world.serve_stations();
}

fn end_intruders(world: &mut World) {
    for index in 0..world.stations.len() {
        if world.stations[index].is_intruder && !world.stations[index].is_lost {
            world.hang_up(index);
            let now = world.worker.clock.elapsed();
            world.stations[index].end_process(now);
            world.stations[index].is_lost = true;
        }
    }
}

/// One of the stations that are not lost; `None` where there is none.
fn one(world: &mut World) -> Option<usize> {
    let there: Vec<usize> = (0..world.stations.len()).filter(|index| !is_gone_or_intruder(world, *index)).collect();
    // Mostly where something runs.
    let is_busy = |index: &usize| world.stations[*index].is_running() && world.stations[*index].is_healthy();
    let busy: Vec<usize> = there.iter().copied().filter(is_busy).collect();
    let choices = if world.random.percent(12) { there } else { busy };
    (!choices.is_empty()).then(|| world.random.of(&choices))
}

fn is_gone_or_intruder(world: &World, index: usize) -> bool {
    world.stations[index].is_lost || world.stations[index].is_intruder
}

/// Up to so many minutes: mostly a few, sometimes longer than any grant.
fn while_of(world: &mut World) -> Duration {
    let most = world.random.weighted(&[(2, 60), (4, 600), (4, 2400)]);
    MINUTE * u32::try_from(1 + world.random.below(most)).unwrap_or(1)
}

fn note(world: &mut World, index: usize, what: &'static str, takes: Duration) {
    let (name, is_running) = (world.stations[index].name.clone(), world.stations[index].is_running());
    world.worker.site().tally(what);
    if is_running {
        world.worker.site().tally("something happened to a station that copied");
    }
    world.note(format!("{what}: {name}, for {} minutes", takes.as_secs() / 60));
}

/// The process of a station is killed, and starts again some time later.
fn restart(world: &mut World) {
    let Some(index) = one(world) else { return };
    let takes = if world.random.percent(50) { Duration::ZERO } else { while_of(world) };
    world.hang_up(index);
    let until = world.worker.clock.elapsed() + takes;
    world.stations[index].end_process(until);
    if world.random.percent(40) {
        // With its machine.
        world.stations[index].boot += 1;
    }
    note(world, index, "a station is killed and starts again", takes);
    world.serve_stations();
}

/// Its host falls asleep.
fn sleep(world: &mut World) {
    let Some(index) = one(world).filter(|index| world.stations[*index].is_awake()) else { return };
    let takes = while_of(world);
    let (host, until) = (world.stations[index].host, world.worker.clock.elapsed() + takes);
    world.stations[index].sleeps_until = until;
    {
        let mut site = world.worker.site();
        site.asleep.insert(host);
        let copies = site.take_copies_of(host);
        copies.iter().for_each(|copy| copy.fall_asleep(&mut site));
        site.copies.extend(copies);
    }
    note(world, index, "a station sleeps", takes);
}

/// Nothing of it reaches the service.
fn cut_off(world: &mut World) {
    let Some(index) = one(world) else { return };
    let takes = while_of(world);
    world.stations[index].cut_off_until = world.worker.clock.elapsed() + takes;
    // Connections break, or are only silent.
    if world.random.percent(50) {
        world.hang_up(index);
        world.stations[index].failed();
    }
    note(world, index, "a station is cut off from the service", takes);
}

/// Messages come late, or never.
fn slow(world: &mut World) {
    let Some(index) = one(world) else { return };
    let takes = while_of(world);
    world.stations[index].slow_until = world.worker.clock.elapsed() + takes;
    note(world, index, "messages of a station are late or lost", takes);
}

/// Its host is gone for good.
fn lose(world: &mut World) {
    let Some(index) = one(world) else { return };
    world.hang_up(index);
    let (now, host) = (world.worker.clock.elapsed(), world.stations[index].host);
    let copied = jobs_copied(world, |other| other == host);
    world.stations[index].end_process(now);
    (world.stations[index].is_lost, world.stations[index].was_gone) = (true, true);
    note(world, index, "a station is lost for good", Duration::ZERO);
    // Its customer asks what moved.
    if world.random.percent(60) {
        cancel_one(world, &copied);
    }
}

/// Another host gets the name of a lost one.
fn replace(world: &mut World) {
    let is_lost = |index: &usize| world.stations[*index].is_lost && !world.stations[*index].is_intruder;
    let lost: Vec<usize> = (0..world.stations.len()).filter(is_lost).collect();
    if !lost.is_empty() {
        let index = world.random.of(&lost);
        replace_one(world, index);
    }
}

pub fn replace_one(world: &mut World, index: usize) {
    world.stations[index].replace();
    note(world, index, "another host gets the name of a lost station", Duration::ZERO);
    if !world.stations[index].has_token {
        make_token(world, index);
    }
    world.serve_stations();
}

/// The token of a station is revoked by mistake; or of a lost one, rightly.
fn revoke(world: &mut World) {
    let lost: Vec<usize> = (0..world.stations.len())
        .filter(|index| world.stations[*index].is_lost && world.stations[*index].has_token && !world.stations[*index].is_intruder)
        .collect();
    let index = if lost.is_empty() { one(world) } else { Some(world.random.of(&lost)) };
    if let Some(index) = index.filter(|index| world.stations[*index].has_token) {
        revoke_of(world, index);
    }
}

pub fn revoke_of(world: &mut World, index: usize) -> bool {
    let name = world.stations[index].name.clone();
    let lives = world.lives;
    let is_done = world.ask(
        None,
        "DELETE",
        &format!("/operator/v1/tokens/{name}"),
        &Value::Null,
        &format!("the token of {name} is revoked"),
    );
    // Where the service was killed meanwhile, it is looked whether that was done.
    let is_revoked = is_done || world.lives != lives && !has_token(world, &name);
    if is_revoked {
        world.stations[index].was_gone = true;
        world.stations.iter_mut().filter(|station| station.name == name).for_each(|station| station.has_token = false);
        let what = match world.stations[index].is_lost {
            true => "the token of a lost station is revoked",
            false => "the token of a living station is revoked",
        };
        world.worker.site().tally(what);
    }
    is_revoked
}

fn has_token(world: &mut World, name: &str) -> bool {
    world.list("tokens").iter().any(|token| token["name"] == name)
}

/// A token is made for the name of a station.
pub fn make_token(world: &mut World, index: usize) {
    let name = world.stations[index].name.clone();
    let lives = world.lives;
    let body = json!({ "name": name, "role": "station" });
    let is_done = world.ask(None, "POST", "/operator/v1/tokens", &body, &format!("a token is made for {name}"));
    world.stations[index].has_token = is_done || world.lives != lives && has_token(world, &name);
}

/// Staff make tokens again that were revoked by mistake.
pub fn make_tokens(world: &mut World) {
    for index in 0..world.stations.len() {
        if !world.stations[index].has_token && !is_gone_or_intruder(world, index) {
            make_token(world, index);
        }
    }
}

/// Everything that happens to stations is over: those that are not lost work again.
pub fn heal(world: &mut World) {
    end_intruders(world);
    let now = world.worker.clock.elapsed();
    let has_own_bays = world.worker.site().bays.iter().any(|bay| bay.host == 0);
    for index in 0..world.stations.len() {
        // Where the service has no bays of its own, none would be left.
        let share = if has_own_bays { 40 } else { 100 };
        if world.stations[index].is_lost && !world.stations[index].is_intruder && world.random.percent(share) {
            replace_one(world, index);
        }
        let station = &mut world.stations[index];
        station.down_until = station.down_until.min(now);
        (station.cut_off_until, station.slow_until) = (Duration::ZERO, Duration::ZERO);
        if station.sleeps_until > now {
            station.sleeps_until = now;
            station.wake();
        }
    }
    for _ in 0..5 {
        make_tokens(world);
    }
    // Whose host is gone has its drives taken out.
    let lost: Vec<usize> = world.stations.iter().filter(|station| station.is_lost).map(|station| station.host).collect();
    let mut site = world.worker.site();
    for bay in 0..site.bays.len() {
        if lost.contains(&site.bays[bay].host) {
            site.take_out(bay);
        }
    }
}
