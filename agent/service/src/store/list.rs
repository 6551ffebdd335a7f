//! Lists of jobs, a page at a time.

use std::fmt;
use std::str::FromStr;

use super::answered::Answered;
use super::database::Store;
use super::error::StoreError;
use super::row::{StoredJob, folded, seconds};
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
    /// The job that was changed last comes first.
    LastChangedFirst,
    /// By name, in any case of its letters.
    ByName,
}

/// A place in a list: behind a job, by what the list is sorted by and the number of that job. A job that is changed between
/// two pages of a list by its changes may be on both or on neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListPlace {
    /// Empty where the number alone sorts.
    value: String,
    id: i64,
}

impl ListPlace {
    /// Behind the job of this number, in a list that is sorted by numbers.
    pub(crate) fn behind(id: i64) -> Self {
        ListPlace { value: String::new(), id }
    }

    /// The number of the job before it.
    pub(crate) fn id(&self) -> i64 {
        self.id
    }
}

impl fmt::Display for ListPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.id, self.value)
    }
}

impl FromStr for ListPlace {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (id, value) = text.split_once('.').ok_or(())?;
        Ok(ListPlace { value: value.to_owned(), id: id.parse().map_err(drop)? })
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Page {
    /// The jobs.
    pub(crate) jobs: Vec<StoredJob>,
    /// Where the next page begins, where there is one.
    pub(crate) next: Option<ListPlace>,
}

impl Order {
    /// Adds that a job comes behind `after`.
    fn push_behind(self, query: &mut Statement, after: Option<&ListPlace>) -> Result<(), sqlx::Error> {
        let id = after.map(ListPlace::id);
        match self {
            Order::OldestFirst => query.push("id > ").bind(id.unwrap_or(0))?,
            Order::NewestFirst => query.push("id < ").bind(id.unwrap_or(i64::MAX))?,
            Order::LastChangedFirst => {
                let changed_at = after.and_then(|place| place.value.parse().ok()).unwrap_or(i64::MAX);
                query.push("(modified_at, id) < (").bind(changed_at)?.push(", ").bind(id.unwrap_or(i64::MAX))?.push(")")
            }
            Order::ByName => {
                let name = after.map(|place| place.value.clone()).unwrap_or_default();
                query.push("(name_key, id) > (").bind(name)?.push(", ").bind(id.unwrap_or(0))?.push(")")
            }
        };
        Ok(())
    }

    fn columns(self) -> &'static str {
        match self {
            Order::OldestFirst => "id",
            Order::NewestFirst => "id DESC",
            Order::LastChangedFirst => "modified_at DESC, id DESC",
            Order::ByName => "name_key, id",
        }
    }

    fn place_of(self, job: &StoredJob) -> ListPlace {
        let value = match self {
            Order::OldestFirst | Order::NewestFirst => String::new(),
            Order::LastChangedFirst => seconds(job.modified_at).to_string(),
            Order::ByName => folded(&job.key.name),
        };
        ListPlace { value, id: job.id }
    }
}

impl Scope {
    /// All jobs.
    pub(crate) const ALL: Scope = Scope { subscriptions: None, resource_group: None, search: None };

    /// Adds that a job is in it.
    fn push_to(&self, store: &Store, query: &mut Statement) -> Result<(), sqlx::Error> {
        if let Some(subscriptions) = &self.subscriptions {
            query.push(" AND subscription_key IN (").bind_list(subscriptions.iter().map(|one| folded(one)))?.push(")");
        }
        if let Some(resource_group) = &self.resource_group {
            query.push(" AND resource_group_key = ").bind(folded(resource_group))?;
        }
        if let Some(search) = &self.search {
            store.push_search(query, search)?;
        }
        Ok(())
    }
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
        after: Option<&ListPlace>,
    ) -> Result<Page, StoreError> {
        let mut query = Statement::new(format!("SELECT {} FROM job WHERE ", self.job_columns()));
        order.push_behind(&mut query, after)?;
        scope.push_to(self, &mut query)?;
        let clauses = [
            ("kind", filter.kind.map(|kind| kind.name().to_owned())),
            ("state", filter.state.map(|state| state.name().to_owned())),
        ];
        for (column, value) in clauses {
            if let Some(value) = value {
                query.push(&format!(" AND {column} = ")).bind(value)?;
            }
        }
        if let Some(number) = &filter.tracking_number {
            query.push(" AND ");
            self.push_tracking_number(&mut query, number)?;
        }
        // One more than asked for tells whether there is a next page.
        query.push(&format!(" ORDER BY {} LIMIT ", order.columns())).bind(i64::from(top) + 1)?;
        let rows = query.query().fetch_all(&self.pool).answered().await?;
        let mut jobs = rows.iter().map(|row| self.job_of(row)).collect::<Result<Vec<_>, _>>()?;
        let has_more = jobs.len() > top as usize;
        jobs.truncate(top as usize);
        let next = jobs.last().filter(|_| has_more).map(|job| order.place_of(job));
        self.add_copies(&mut jobs).await?;
        Ok(Page { jobs, next })
    }

    /// How many jobs in `scope` are in each state.
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn count_in(&self, scope: &Scope) -> Result<Vec<(String, i64)>, StoreError> {
        // Of all jobs that is known: counting them takes longer the more there are.
        if *scope == Scope::ALL {
            return self.count_by_state().await;
        }
        let mut query = Statement::new("SELECT state, count(*) FROM job WHERE id > 0");
        scope.push_to(self, &mut query)?;
        query.push(" GROUP BY state");
        Ok(query.query_as().fetch_all(&self.pool).answered().await?)
    }
}
