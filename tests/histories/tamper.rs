//! What happens to a world that no run of the program did.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::step::{StoreKind, Tamper, Target};
use crate::support::images::random_bytes;
use crate::world::{Item, Place, World};

/// Longer than the file system's clock takes from one time of change to the next: a change within the same tick cannot be
/// noticed by anything.
const CLOCK_TICK: Duration = Duration::from_millis(5);

/// Makes the change, where there is something to change; tells whether there was.
pub fn apply(world: &mut World, tamper: Tamper) -> bool {
    std::thread::sleep(CLOCK_TICK);
    let done = try_apply(world, tamper);
    world.has_damaged_journal |= done.is_some() && matches!(tamper, Tamper::Journal { .. } | Tamper::CutJournal { .. });
    world.touch();
    let damaged = match tamper {
        Tamper::Manifest { name, .. } => Some(format!("{name}.manifest.jsonl")),
        Tamper::Blob { name, .. } => Some(name.to_owned()),
        _ => None,
    };
    if let (Some(name), Some(())) = (damaged, done)
        && let Some(Item::File(bytes)) = world.snapshot().get(&format!("store/{name}"))
    {
        world.damaged_manifests.push(bytes.clone());
    }
    let outcome = if done.is_some() { "" } else { " (nothing there)" };
    world.log.push(format!("# {tamper:?}{outcome}"));
    done.is_some()
}

/// The targets that a change writes to.
pub fn places_written(tamper: Tamper) -> Vec<Place> {
    match tamper {
        Tamper::Partial { .. } | Tamper::CutPartial { .. } => vec![Place::Partial, Place::Image],
        Tamper::Target { target, .. } => vec![Place::from(target)],
        _ => Vec::new(),
    }
}

fn try_apply(world: &mut World, tamper: Tamper) -> Option<()> {
    match tamper {
        Tamper::Drive { drive, offset } => {
            // A failing drive has no time of change to notice it by.
            let changed = Some(&mut world.drives[drive]).filter(|drive| drive.unreadable.is_empty())?;
            flip(&changed.image, offset)?;
            changed.versions.push(std::fs::read(&changed.image).ok()?);
            Some(())
        }
        Tamper::Blob { name, offset } => match world.store {
            StoreKind::Directory => flip(&plain(world.store_folder.join(name))?, offset).map(drop),
            _ => {
                let is_unfinished = matches!(world.look_at_blob(name), Some(Item::IncompleteBlob { .. }));
                let offset = flip_blob(world, name, offset)?;
                if is_unfinished {
                    world.changed_bytes.entry(Place::Partial).or_default().push(offset);
                }
                Some(())
            }
        },
        Tamper::RemoveBlob { name } => remove(world, name),
        Tamper::MoveBlob { name } => match world.store {
            StoreKind::Directory => std::fs::rename(world.store_folder.join(name), world.store_folder.join("moved")).ok(),
            _ => {
                world.remote().rename(&world.remote_name(name), &world.remote_name("moved"));
                Some(())
            }
        },
        Tamper::Manifest { name, offset } => match world.store {
            StoreKind::Directory => flip(&plain(world.store_folder.join(format!("{name}.manifest.jsonl")))?, offset).map(drop),
            _ => flip_blob(world, &format!("{name}.manifest.jsonl"), offset).map(drop),
        },
        Tamper::RemoveManifest { name } => remove(world, &format!("{name}.manifest.jsonl")),
        Tamper::Notes { name } => put_notes(world, name),
        Tamper::Link { name } => {
            let is_directory = world.store == StoreKind::Directory;
            is_directory.then(|| symlink(world.store_folder.join("precious"), world.store_folder.join(name)).ok()).flatten()
        }
        Tamper::Partial { index, offset } => {
            let path = pick(&world.partials(), index)?;
            let offset = flip(&path, offset)?;
            let place = if path.starts_with(&world.target_folder) { Place::Image } else { Place::Partial };
            world.changed_bytes.entry(place).or_default().push(offset);
            Some(())
        }
        Tamper::CutPartial { index, length } => cut(&pick(&world.partials(), index)?, length),
        Tamper::RemovePartial { index } => std::fs::remove_file(pick(&world.partials(), index)?).ok(),
        Tamper::Target { target, offset } => {
            let path = world.target_path(target);
            let offset = flip(&path, offset)?;
            world.changed_bytes.entry(Place::from(target)).or_default().push(offset);
            Some(())
        }
        Tamper::PlaceImage { longer_bytes, is_zero } => {
            let length = world.drives[0].content().len().saturating_add_signed(longer_bytes as isize);
            let content = if is_zero { vec![0; length] } else { random_bytes(length, 0x1a6e) };
            world.changed_bytes.remove(&Place::Image);
            // On a full disk it is shorter, and there.
            let _ = std::fs::write(world.target_path(Target::Image), content);
            Some(())
        }
        Tamper::RemoveImage => std::fs::remove_file(world.target_path(Target::Image)).ok(),
        Tamper::Journal { operator, index, offset } => flip(&pick(&world.journals(operator), index)?, offset).map(drop),
        Tamper::CutJournal { operator, index, length } => cut(&pick(&world.journals(operator), index)?, length),
        Tamper::RemoveJournal { operator, index } => std::fs::remove_file(pick(&world.journals(operator), index)?).ok(),
        Tamper::SwapStates => {
            let [one, two] = world.states.clone().map(|state| state.join("drive-agent"));
            let aside = one.with_file_name("aside");
            let moved = [std::fs::rename(&one, &aside), std::fs::rename(&two, &one), std::fs::rename(&aside, &two)];
            moved.iter().any(Result::is_ok).then_some(())
        }
        Tamper::ForgetBlocks { name } => {
            world.remote().forget_uncommitted(&world.remote_name(name));
            matches!(world.store, StoreKind::BlockBlob | StoreKind::S3 | StoreKind::Gcs).then_some(())
        }
        Tamper::ForeignBlock { name, is_long } => {
            let id: &[u8] = if is_long { b"a block of another program, with a longer name" } else { b"short" };
            let is_kept_apart = matches!(world.store, StoreKind::BlockBlob | StoreKind::S3 | StoreKind::Gcs);
            is_kept_apart.then(|| world.remote().add_foreign(&world.remote_name(name), id))
        }
    }
}

/// Changes one byte of a blob; gives where.
fn flip_blob(world: &World, name: &str, offset: u64) -> Option<u64> {
    let name = world.remote_name(name);
    let length = world.remote().content(&name).filter(|content| !content.is_empty())?.len() as u64;
    world.remote().flip_byte(&name, (offset % length) as usize);
    Some(offset % length)
}

fn remove(world: &World, name: &str) -> Option<()> {
    match world.store {
        StoreKind::Directory => std::fs::remove_file(world.store_folder.join(name)).ok(),
        _ => {
            world.remote().delete(&world.remote_name(name));
            Some(())
        }
    }
}

/// A file of the user under this name, where there is none.
fn put_notes(world: &World, name: &str) -> Option<()> {
    let notes = format!("notes of the user, called {name}\n");
    match world.store {
        StoreKind::Directory => {
            let created = File::options().write(true).create_new(true).open(world.store_folder.join(name));
            // On a full disk it is shorter, and there.
            let _ = created.ok()?.write_all(notes.as_bytes());
            Some(())
        }
        _ => {
            let name = world.remote_name(name);
            world.remote().content(&name).is_none().then(|| world.remote().put_plain(&name, notes.into_bytes()))
        }
    }
}

/// The path, where it is a file and not a link.
fn plain(path: PathBuf) -> Option<PathBuf> {
    std::fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()).then_some(path)
}

fn pick(paths: &[PathBuf], index: u64) -> Option<PathBuf> {
    paths.get((index % paths.len().max(1) as u64) as usize).cloned()
}

/// Changes one byte of a file; gives where.
fn flip(path: &Path, offset: u64) -> Option<u64> {
    let file = File::options().read(true).write(true).open(path).ok()?;
    let length = std::io::Seek::seek(&mut &file, std::io::SeekFrom::End(0)).ok().filter(|length| *length > 0)?;
    let offset = offset % length;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).ok()?;
    file.write_all_at(&[byte[0] ^ 0x55], offset).ok()?;
    file.sync_all().ok()?;
    Some(offset)
}

/// Cuts a file anywhere.
fn cut(path: &Path, length: u64) -> Option<()> {
    let file = File::options().write(true).open(path).ok()?;
    let now = file.metadata().ok()?.len();
    file.set_len(length % now.max(1)).ok()
}
