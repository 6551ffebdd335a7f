//! Which connections are open, whose they are, and which one is closed when there are too many.
//!
//! A connection belongs to the address that it comes from until a request on it carries a valid token or session; from
//! then on it belongs to that actor. Each kind of owner has a share of its own, so that unauthenticated clients cannot keep customers
//! out, nor customers operators:
//!
//! | owner | share | where the share is full |
//! |---|---|---|
//! | address | a half | the oldest connection of the address with most is closed: an honest client asks at once |
//! | customer | a quarter | one of the customer with most is closed; who has most is refused |
//! | operator | a quarter | the same among operators |
//!
//! One that said whose it is, and waits until that was looked up, is not closed for the others of its address.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::{Actor, Role};

/// How long a connection has at least to say whose it is: a new one waits rather than close one that is younger.
const GRACE: Duration = Duration::from_millis(100);

/// Open connections.
pub(super) struct Connections {
    open: Mutex<Open>,
    connections_max: usize,
}

#[derive(Default)]
struct Open {
    next_id: u64,
    /// By age: the oldest has the smallest number.
    by_id: BTreeMap<u64, Entry>,
    count_by_owner: HashMap<Owner, usize>,
}

struct Entry {
    owner: Owner,
    opened: Instant,
    /// Lookups of what it said that are under way.
    lookups: u32,
    closing: CancellationToken,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Owner {
    Address(IpAddr),
    Customer(String),
    Operator(String),
}

impl Owner {
    fn of(actor: &Actor) -> Self {
        match actor.role {
            Role::Customer(_) => Owner::Customer(actor.name.clone()),
            // Both are staff's own.
            Role::Operator | Role::Station => Owner::Operator(actor.name.clone()),
        }
    }

    fn has_same_share(&self, other: &Owner) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// An open connection. It is no longer counted when this is dropped.
pub(super) struct OpenConnection {
    handle: ConnectionHandle,
    /// Cancelled when the connection has to make room.
    pub(super) closing: CancellationToken,
}

/// What requests of a connection say of it.
#[derive(Clone)]
pub(crate) struct ConnectionHandle {
    id: u64,
    connections: Arc<Connections>,
}

/// A connection that waits for a lookup.
pub(crate) struct Lookup(ConnectionHandle);

impl Drop for Lookup {
    fn drop(&mut self) {
        self.0.connections.lock().change_lookups(self.0.id, |lookups| lookups.saturating_sub(1));
    }
}

impl Connections {
    pub(super) fn new(connections_max: usize) -> Self {
        Connections { open: Mutex::default(), connections_max }
    }

    /// Counts a new connection from an address, and closes another where there are too many.
    pub(super) async fn open(self: &Arc<Self>, address: IpAddr) -> OpenConnection {
        loop {
            match self.try_open(address) {
                Ok(connection) => return connection,
                Err(room_at) => tokio::time::sleep_until(room_at).await,
            }
        }
    }

    /// Counts a new connection; or returns when there will be room for it.
    fn try_open(self: &Arc<Self>, address: IpAddr) -> Result<OpenConnection, Instant> {
        let mut open = self.lock();
        let owner = Owner::Address(address);
        if open.count_of_share(&owner) >= self.share(&owner) {
            let now = Instant::now();
            // Where all of them wait for a lookup, that is over in a moment.
            let room_at = open.oldest_of_largest(&owner).map_or(now + GRACE, |(_, entry)| entry.opened + GRACE);
            if room_at > now {
                return Err(room_at);
            }
            open.close_oldest_of_largest(&owner);
        }
        let id = open.next_id;
        open.next_id += 1;
        let closing = CancellationToken::new();
        open.insert(id, Entry { owner, opened: Instant::now(), lookups: 0, closing: closing.clone() });
        Ok(OpenConnection { handle: ConnectionHandle { id, connections: self.clone() }, closing })
    }

    /// How many connections owners of this kind may have.
    fn share(&self, owner: &Owner) -> usize {
        let parts = match owner {
            Owner::Address(_) => 2,
            Owner::Customer(_) | Owner::Operator(_) => 4,
        };
        (self.connections_max / parts).max(1)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn insert(&mut self, id: u64, entry: Entry) {
        *self.count_by_owner.entry(entry.owner.clone()).or_default() += 1;
        self.by_id.insert(id, entry);
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.by_id.remove(&id)?;
        if let Some(count) = self.count_by_owner.get_mut(&entry.owner) {
            *count -= 1;
            if *count == 0 {
                self.count_by_owner.remove(&entry.owner);
            }
        }
        Some(entry)
    }

    fn change_lookups(&mut self, id: u64, change: impl FnOnce(u32) -> u32) {
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.lookups = change(entry.lookups);
        }
    }

    fn count_of_share(&self, owner: &Owner) -> usize {
        self.share_of(owner).map(|(_, count)| count).sum()
    }

    /// The owners of the same kind, each with its number of connections.
    fn share_of(&self, owner: &Owner) -> impl Iterator<Item = (&Owner, usize)> {
        self.count_by_owner.iter().filter(|(other, _)| other.has_same_share(owner)).map(|(other, count)| (other, *count))
    }

    /// The oldest connection of who has most of a share, without those that wait for a lookup.
    fn oldest_of_largest(&self, owner: &Owner) -> Option<(u64, &Entry)> {
        let (largest, _) = self.share_of(owner).max_by_key(|(_, count)| *count)?;
        let mut closable = self.by_id.iter().filter(|(_, entry)| entry.owner == *largest && entry.lookups == 0);
        closable.next().map(|(id, entry)| (*id, entry))
    }

    fn close_oldest_of_largest(&mut self, owner: &Owner) {
        let oldest = self.oldest_of_largest(owner).map(|(id, _)| id);
        if let Some(entry) = oldest.and_then(|id| self.remove(id)) {
            entry.closing.cancel();
        }
    }
}

impl OpenConnection {
    pub(super) fn handle(&self) -> ConnectionHandle {
        self.handle.clone()
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.handle.connections.lock().remove(self.handle.id);
    }
}

impl ConnectionHandle {
    /// It said whose it is, which is looked up until this is dropped.
    pub(super) fn look_up(&self) -> Lookup {
        self.connections.lock().change_lookups(self.id, |lookups| lookups + 1);
        Lookup(self.clone())
    }

    /// Counts the connection as one of this actor; false where the actor has too many.
    pub(super) fn belongs_to(&self, actor: &Actor) -> bool {
        let owner = Owner::of(actor);
        let mut open = self.connections.lock();
        match open.by_id.get(&self.id) {
            Some(entry) if entry.owner == owner => return true,
            Some(_) => {}
            // It is being closed.
            None => return false,
        }
        if open.count_of_share(&owner) >= self.connections.share(&owner) {
            let own = open.count_by_owner.get(&owner).copied().unwrap_or_default();
            let largest = open.share_of(&owner).map(|(_, count)| count).max().unwrap_or_default();
            if own >= largest {
                return false;
            }
            open.close_oldest_of_largest(&owner);
        }
        if let Some(entry) = open.remove(self.id) {
            open.insert(self.id, Entry { owner, ..entry });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    fn customer(name: &str) -> Actor {
        Actor { name: name.to_owned(), role: Role::Customer(vec!["s".to_owned()]) }
    }

    fn operator() -> Actor {
        Actor { name: "operator".to_owned(), role: Role::Operator }
    }

    async fn opened(connections: &Arc<Connections>, count: usize) -> Vec<OpenConnection> {
        let mut open = Vec::new();
        for _ in 0..count {
            open.push(connections.open(address(1)).await);
        }
        open
    }

    fn closed(open: &[OpenConnection]) -> Vec<bool> {
        open.iter().map(|connection| connection.closing.is_cancelled()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_the_address_with_most_makes_room() {
        let connections = Arc::new(Connections::new(8));
        let begun = Instant::now();
        let mut open = Vec::new();
        for last in [1, 2, 2, 2, 3] {
            open.push(connections.open(address(last)).await);
        }
        assert_eq!(begun.elapsed(), GRACE, "the last one waited until another had its time");
        assert_eq!(closed(&open), [false, true, false, false, false]);
        drop(open);
        assert!(connections.lock().by_id.is_empty() && connections.lock().count_by_owner.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_lookup_is_not_closed_meanwhile() {
        let connections = Arc::new(Connections::new(8));
        let open = opened(&connections, 4).await;
        let lookup = open[0].handle().look_up();
        let others = opened(&connections, 1).await;
        assert_eq!((closed(&open), closed(&others)), (vec![false, true, false, false], vec![false]));
        drop(lookup);
        let more = opened(&connections, 1).await;
        assert_eq!(closed(&open), [true, true, false, false]);
        let all = open[2..].iter().chain(&others).chain(&more);
        let lookups: Vec<Lookup> = all.map(|open| open.handle().look_up()).collect();
        let last = tokio::spawn(async move { opened(&connections, 1).await });
        tokio::time::sleep(GRACE * 3).await;
        assert!(!last.is_finished(), "all of them wait for a lookup");
        drop(lookups);
        assert_eq!(last.await.unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn unauthenticated_clients_take_no_share_of_actors_and_customers_none_of_operators() {
        let connections = Arc::new(Connections::new(8));
        let known = opened(&connections, 4).await;
        assert!(known[0].handle().belongs_to(&customer("a")) && known[1].handle().belongs_to(&customer("a")));
        assert!(!known[2].handle().belongs_to(&customer("a")), "its share is full, and all of it is theirs");
        assert!(known[2].handle().belongs_to(&operator()));
        assert!(known[3].handle().belongs_to(&customer("b")), "one of the customer with most makes room");
        assert_eq!(closed(&known), [true, false, false, false]);
        let unauthenticated = opened(&connections, 20).await;
        assert_eq!(closed(&known), [true, false, false, false]);
        assert_eq!(closed(&unauthenticated).into_iter().filter(|closed| !closed).count(), 4);
        assert!(known[1].handle().belongs_to(&customer("a")) && !known[0].handle().belongs_to(&customer("a")));
    }
}
