//! The database's layout, as it came to be. What was published is never changed: a newer layout is a new file.

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::dialect::Dialect;

macro_rules! migrations {
    ($folder:literal: $($version:literal $name:literal $file:literal,)*) => {
        vec![$(Migration::new(
            $version,
            $name.into(),
            MigrationType::Simple,
            SqlStr::from_static(include_str!(concat!("../../migrations/", $folder, "/", $file))),
            false,
        )),*]
    };
}

/// Brings a database to the newest layout. Each engine has a folder of its own: they write types and triggers differently.
pub(super) fn migrator(dialect: Dialect) -> Migrator {
    Migrator::with_migrations(match dialect {
        Dialect::Sqlite => sqlite(),
        Dialect::Postgres => postgres(),
    })
}

pub(super) fn postgres() -> Vec<Migration> {
    migrations!("postgres":
        1 "service" "0001_service.sql",
        2 "stations" "0002_stations.sql",
        3 "replicas" "0003_replicas.sql",
        4 "rate" "0004_rate.sql",
        5 "sorted" "0005_sorted.sql",
        6 "sealed" "0006_sealed.sql",
        7 "docked" "0007_docked.sql",
    )
}

pub(super) fn sqlite() -> Vec<Migration> {
    migrations!("sqlite":
        1 "jobs" "0001_jobs.sql",
        2 "copies" "0002_copies.sql",
        3 "docking" "0003_docking.sql",
        4 "sessions" "0004_sessions.sql",
        5 "states" "0005_states.sql",
        6 "station" "0006_station.sql",
        7 "effects" "0007_effects.sql",
        8 "sessions of whom" "0008_sessions.sql",
        9 "counts" "0009_counts.sql",
        10 "portable" "0010_portable.sql",
        11 "stations" "0011_stations.sql",
        12 "rate" "0012_rate.sql",
        13 "sorted" "0013_sorted.sql",
        14 "docked" "0014_docked.sql",
    )
}
