//! A discrete-event engine: a clock and a queue. It knows nothing of language models.
//!
//! Events at the same time come out in the order in which they were scheduled, so a run has one order only.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::units::SimTime;

/// A queue of events of type `E`, ordered by time and then by the order of scheduling.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    now: SimTime,
    scheduled: u64,
}

#[derive(Debug)]
struct Entry<E> {
    time: SimTime,
    sequence: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.sequence).cmp(&(other.time, other.sequence))
    }
}

impl<E> Queue<E> {
    /// An empty queue at time zero.
    pub fn new() -> Self {
        Queue { heap: BinaryHeap::new(), now: SimTime::ZERO, scheduled: 0 }
    }

    /// The time of the event that came out last.
    pub fn now(&self) -> SimTime {
        self.now
    }

    /// Schedules an event `delay` after now.
    pub fn after(&mut self, delay: SimTime, event: E) {
        let entry = Entry { time: self.now + delay, sequence: self.scheduled, event };
        self.scheduled += 1;
        self.heap.push(Reverse(entry));
    }

    /// Takes the next event and moves the clock to it.
    pub fn pop(&mut self) -> Option<(SimTime, E)> {
        let Reverse(entry) = self.heap.pop()?;
        self.now = entry.time;
        Some((entry.time, entry.event))
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_time_order_and_ties_in_scheduling_order() {
        let mut queue = Queue::new();
        queue.after(SimTime::from_ns(5), 'c');
        queue.after(SimTime::from_ns(2), 'a');
        queue.after(SimTime::from_ns(5), 'd');
        queue.after(SimTime::from_ns(2), 'b');
        let order: String = std::iter::from_fn(|| queue.pop().map(|(_, event)| event)).collect();
        assert_eq!(order, "abcd");
        assert_eq!(queue.now(), SimTime::from_ns(5));
    }

    #[test]
    fn delays_count_from_now() {
        let mut queue = Queue::new();
        queue.after(SimTime::from_ns(7), 1);
        queue.pop();
        queue.after(SimTime::from_ns(3), 2);
        assert_eq!(queue.pop(), Some((SimTime::from_ns(10), 2)));
    }
}
