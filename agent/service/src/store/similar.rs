//! Jobs that name a drive like one that is docked: a serial number that was copied with a mistake begins or ends like the right
//! one. However many drives are asked about, their beginnings and ends are looked up together.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::answered::Answered;
use super::database::Store;
use super::dialect::Dialect;
use super::error::StoreError;
use super::row::StoredJob;
use super::search::{Found, head, tail};
use super::statement::Statement;

/// Drives that are looked at of those that begin, and of those that end, in one way.
const SIMILAR_MAX: u32 = 100;

/// Parts that one query looks up: SQLite puts no more than 500 queries together.
const PARTS_PER_QUERY: usize = 400;

/// What is compared of a serial number, as columns.
#[derive(Debug, Clone, Copy)]
enum Part {
    Head,
    Tail,
}

impl Part {
    fn column(self) -> &'static str {
        match self {
            Part::Head => "head",
            Part::Tail => "tail",
        }
    }

    fn found(self) -> Found {
        match self {
            Part::Head => Found::Head,
            Part::Tail => Found::Tail,
        }
    }

    fn of(self, drive_id: &str) -> String {
        match self {
            Part::Head => head(drive_id),
            Part::Tail => tail(drive_id),
        }
    }
}

/// The jobs that may be given drives, by how the serial numbers of their drives begin and end.
#[derive(Debug, Default)]
pub(crate) struct SimilarDrives {
    heads: HashMap<String, Vec<i64>>,
    tails: HashMap<String, Vec<i64>>,
    jobs: BTreeMap<i64, StoredJob>,
}

impl SimilarDrives {
    /// The jobs that have a drive whose serial number begins or ends like this one, the oldest first.
    pub(crate) fn of(&self, drive_id: &str) -> Vec<&StoredJob> {
        let (by_head, by_tail) = (self.heads.get(&Part::Head.of(drive_id)), self.tails.get(&Part::Tail.of(drive_id)));
        let ids: BTreeSet<&i64> = by_head.into_iter().chain(by_tail).flatten().collect();
        ids.into_iter().filter_map(|id| self.jobs.get(id)).collect()
    }
}

impl Store {
    /// Jobs that may be given drives and have one whose serial number begins or ends like one of these.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn naming_similar_drives(&self, drive_ids: &[&str]) -> Result<SimilarDrives, StoreError> {
        let heads = self.jobs_by_part(Part::Head, drive_ids).await?;
        let tails = self.jobs_by_part(Part::Tail, drive_ids).await?;
        let ids: BTreeSet<i64> = heads.values().chain(tails.values()).flatten().copied().collect();
        let mut jobs = BTreeMap::new();
        for some in ids.into_iter().collect::<Vec<_>>().chunks(PARTS_PER_QUERY) {
            let mut query = Statement::new(format!(
                "SELECT {} FROM job WHERE state IN ('Shipping', 'Received', 'Transferring') AND id IN (",
                self.job_columns()
            ));
            query.bind_list(some.iter().copied())?.push(")");
            let found = self.with_copies(query.query().fetch_all(&self.pool).answered().await?).await?;
            jobs.extend(found.into_iter().map(|job| (job.id, job)));
        }
        Ok(SimilarDrives { heads, tails, jobs })
    }

    /// The newest jobs that have a drive with each of these parts.
    async fn jobs_by_part(&self, part: Part, drive_ids: &[&str]) -> Result<HashMap<String, Vec<i64>>, StoreError> {
        // By what the columns have.
        let parts: BTreeMap<String, String> =
            drive_ids.iter().map(|id| part.of(id)).map(|text| (self.search_key(part.found(), &text), text)).collect();
        let column = part.column();
        let mut found: HashMap<String, Vec<i64>> = HashMap::new();
        for some in parts.keys().collect::<Vec<_>>().chunks(PARTS_PER_QUERY) {
            let query = match self.dialect {
                Dialect::Sqlite => one_query_each(column, some)?,
                Dialect::Postgres => one_query_for_all(column, some)?,
            };
            let rows: Vec<(String, i64)> = query.query_as().fetch_all(&self.pool).answered().await?;
            for (value, job_id) in rows {
                found.entry(parts.get(&value).cloned().unwrap_or(value)).or_default().push(job_id);
            }
        }
        Ok(found)
    }
}

/// A query for each part, put together.
fn one_query_each(column: &str, parts: &[&String]) -> Result<Statement, StoreError> {
    let mut query = Statement::new("");
    for (index, part) in parts.iter().enumerate() {
        let union = if index == 0 { "" } else { " UNION ALL " };
        query.push(&format!("{union}SELECT * FROM (SELECT {column} AS part, job_id FROM job_drive WHERE {column} = "));
        query.bind((*part).clone())?;
        query.push(&format!(" ORDER BY job_id DESC LIMIT {SIMILAR_MAX}) AS part_{index}"));
    }
    Ok(query)
}

/// One for all of them, which is planned once: the table is in parts, and planning takes longer than looking.
fn one_query_for_all(column: &str, parts: &[&String]) -> Result<Statement, StoreError> {
    let mut query = Statement::new("SELECT asked.part, found.job_id FROM (VALUES (");
    for (index, part) in parts.iter().enumerate() {
        query.push(if index == 0 { "" } else { "), (" });
        query.bind((*part).clone())?;
    }
    query.push(&format!(
        ")) AS asked (part) CROSS JOIN LATERAL (SELECT job_id FROM job_drive WHERE {column} = asked.part
         ORDER BY job_id DESC LIMIT {SIMILAR_MAX}) AS found"
    ));
    Ok(query)
}
