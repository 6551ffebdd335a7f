//! Lists of jobs, a page at a time.

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::row::{JOB_COLUMNS, StoredJob, folded, job_of};
use super::statement::Statement;
use protocol::arm::Filter;

/// Whose jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    /// The subscriptions; all, where `None`.
    pub(crate) subscriptions: Option<Vec<String>>,
    /// The resource group; all, where `None`.
    pub(crate) resource_group: Option<String>,
    /// What their names, customers, parcels or drives have in them, in any case of its letters; anything, where `None`.
    pub(crate) search: Option<String>,
}

/// In which order a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As programs read it: a job that comes meanwhile is on a later page.
    OldestFirst,
    /// As people read it.
    NewestFirst,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    /// The jobs.
    pub(crate) jobs: Vec<StoredJob>,
    /// Where the next page begins, where there is one.
    pub(crate) next: Option<i64>,
}

impl Store {
    /// The jobs in `scope` that pass `filter`, at most `top` of them, behind the place `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn list(
        &self,
        scope: &Scope,
        filter: &Filter,
        order: Order,
        top: u32,
        after: Option<i64>,
    ) -> Result<Page, StoreError> {
        let (behind, start, direction) = match order {
            Order::OldestFirst => (">", 0, "ASC"),
            Order::NewestFirst => ("<", i64::MAX, "DESC"),
        };
        let mut query = Statement::new(format!("SELECT {JOB_COLUMNS} FROM job WHERE id {behind} "));
        query.bind(after.unwrap_or(start))?;
        if let Some(subscriptions) = &scope.subscriptions {
            query.push(" AND subscription_key IN (").bind_list(subscriptions.iter().map(|one| folded(one)))?.push(")");
        }
        let clauses = [
            ("resource_group_key", scope.resource_group.as_deref().map(folded)),
            ("kind", filter.kind.map(|kind| kind.name().to_owned())),
            ("state", filter.state.map(|state| state.name().to_owned())),
            ("tracking_number", filter.tracking_number.clone()),
        ];
        for (column, value) in clauses {
            if let Some(value) = value {
                query.push(&format!(" AND {column} = ")).bind(value)?;
            }
        }
        if let Some(search) = &scope.search {
            query.push_search(search)?;
        }
        // One more than asked for tells whether there is a next page.
        query.push(&format!(" ORDER BY id {direction} LIMIT ")).bind(i64::from(top) + 1)?;
        let rows = query.query().fetch_all(&self.pool).answered().await?;
        let mut jobs = rows.iter().map(job_of).collect::<Result<Vec<_>, _>>()?;
        let has_more = jobs.len() > top as usize;
        jobs.truncate(top as usize);
        let next = jobs.last().filter(|_| has_more).map(|job| job.id);
        self.add_copies(&mut jobs).await?;
        Ok(Page { jobs, next })
    }
}
