//! A rescue is taken up: what an earlier run and the user's map know of the drive.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use protocol::rescue::{ReadMap, ReadStatus, RescuePlan, RescueRules};

use crate::call::options::OnUnreadable;
use crate::error::CopyError;
use crate::limits::RESCUE_READ_BYTES_MIN;
use crate::rescue::files::{beside, forget_beside, kept_from_image, read_map};
use crate::rescue::scene::RescueScene;
use crate::rescue::scratch::Scratch;
use crate::rescue::state::{NOWHERE, Rescue, State};
use crate::rescue::users_map::{self, UsersMap};

impl Rescue {
    /// Takes up what an earlier run and the user's map know. `None` where the policy is to stop.
    pub(crate) fn open(scene: RescueScene<'_>) -> Result<Option<Arc<Self>>, CopyError> {
        // The user's map is looked at first: what forbids the transfer must leave an earlier run's files alone.
        let users = match scene.policy {
            OnUnreadable::Stop => None,
            _ => Some(users_map::take_up(&scene)?),
        };
        if scene.is_new {
            forget_beside(scene.journal)?;
        }
        let Some(UsersMap { known, in_image, had_map, claimed, lock }) = users else { return Ok(None) };
        let map_path = beside(scene.journal, "map");
        let own = read_map(&map_path, scene.geometry.total_bytes())?;
        let begun = own.is_some() || is_failing(&known) || scene.options.rescued.is_some();
        // What the user's map knows better stays.
        let known = if had_map { known } else { with_failed(known, own.as_ref()) };
        let rules = rules(&scene);
        let state = state(&scene, rules, known, in_image, own.as_ref())?;
        Ok(Some(Arc::new(Rescue {
            options: scene.options,
            fill: scene.fill,
            rules,
            geometry: scene.geometry,
            map_path,
            image_path: beside(scene.journal, "image"),
            _map_lock: lock,
            claimed,
            begun: AtomicBool::new(begun),
            failed_reads: AtomicU64::new(0),
            last_good: AtomicU64::new(NOWHERE),
            state: Mutex::new(state),
            saving: Mutex::default(),
        })))
    }
}

fn rules(scene: &RescueScene<'_>) -> RescueRules {
    let sector_bytes = scene.drive.sector_size_bytes();
    let read_bytes_min = RESCUE_READ_BYTES_MIN.max(sector_bytes);
    let scrapes = scene.policy == OnUnreadable::Rescue;
    RescueRules {
        sector_bytes,
        read_bytes_min,
        read_bytes_max: if scrapes { scene.drive.preferred_read_bytes() as u64 } else { read_bytes_min },
        chunk_bytes: scene.geometry.chunk_size_bytes(),
        scrapes,
        retry_passes: scene.options.retry_passes,
    }
}

/// What is known before the first read. `own` is the map of an earlier run.
fn state(
    scene: &RescueScene<'_>,
    rules: RescueRules,
    known: ReadMap,
    in_image: ReadMap,
    own: Option<&ReadMap>,
) -> Result<State, CopyError> {
    let size = scene.geometry.total_bytes();
    let scratch = Scratch::open(&beside(scene.journal, "scratch"))?;
    let kept = own.filter(|_| scratch.exists());
    // A map may come from where sectors are smaller.
    let in_scratch = finished(size, kept).in_sectors(rules.sector_bytes);
    let plan = RescuePlan::new(ReadMap::new(size, ReadStatus::Finished), rules);
    Ok(State {
        known: known.in_sectors(rules.sector_bytes),
        taken_over: ReadMap::new(size, ReadStatus::NonTried),
        in_image: in_image.in_sectors(rules.sector_bytes),
        from_image: kept_from_image(scene.journal, &in_scratch)?,
        saved_phase: plan.phase(),
        plan,
        scratch,
        in_scratch,
        under_way: None,
        saved_at: Instant::now(),
    })
}

/// A map with the places that failed in an earlier run.
fn with_failed(mut known: ReadMap, own: Option<&ReadMap>) -> ReadMap {
    let runs = own.into_iter().flat_map(ReadMap::runs);
    let failed = runs.filter(|(_, status)| !matches!(status, ReadStatus::NonTried | ReadStatus::Finished));
    failed.for_each(|(range, status)| known.set(range, status));
    known
}

/// What a map calls finished, and nothing else of it.
fn finished(size_bytes: u64, map: Option<&ReadMap>) -> ReadMap {
    let mut finished = ReadMap::new(size_bytes, ReadStatus::NonTried);
    let runs = map.into_iter().flat_map(ReadMap::runs).filter(|(_, status)| *status == ReadStatus::Finished);
    runs.for_each(|(range, status)| finished.set(range, status));
    finished
}

/// Whether a map knows of trouble.
fn is_failing(map: &ReadMap) -> bool {
    [ReadStatus::NonTrimmed, ReadStatus::NonScraped, ReadStatus::Bad].iter().any(|status| map.bytes(*status) > 0)
}
