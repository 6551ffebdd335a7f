//! What a run meets in its folders and at the store, and how that is undone.

use std::path::PathBuf;

use crate::places::set_read_only;
use crate::step::{StoreFault, Surroundings};
use crate::support::azure_fake::On;
use crate::world::World;

pub type Undo = Box<dyn FnOnce()>;

pub fn surround(world: &World, surroundings: Surroundings) -> Option<Undo> {
    let remove = |filler: Option<PathBuf>| -> Option<Undo> {
        let filler = filler?;
        Some(Box::new(move || drop(std::fs::remove_file(filler))))
    };
    match surroundings {
        Surroundings::Ordinary | Surroundings::FileSizeLimit(_) => None,
        Surroundings::StoreFull(left) => remove(world.places.store_disk.fill(left)),
        Surroundings::StateFull(left) => remove(world.places.state_disk.fill(left)),
        Surroundings::StoreReadOnly => read_only(vec![world.store_folder.clone(), world.target_folder.clone()]),
        Surroundings::StateReadOnly => {
            let folders =
                world.states.iter().flat_map(|state| ["", "drive-agent", "drive-agent/journals"].map(|name| state.join(name)));
            read_only(folders.collect())
        }
    }
}

fn read_only(folders: Vec<PathBuf>) -> Option<Undo> {
    folders.iter().for_each(|folder| set_read_only(folder, true));
    Some(Box::new(move || folders.iter().for_each(|folder| set_read_only(folder, false))))
}

pub fn set_faults(world: &World, faults: &[(On, StoreFault)]) {
    for (on, fault) in faults {
        world.remote().set_fault(*on, fault);
    }
}
