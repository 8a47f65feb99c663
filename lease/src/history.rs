//! A namespace's history: the newest of its ends, oldest first, shared with snapshots until the next one.
//!
//! An end is forgotten when it rolls out of here, except the last one of a key that is in use, which its
//! record keeps. So a holder that was cut off for long still learns what became of its grant.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::record::Slot;
use crate::{End, Token};

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) slot: Slot,
    pub(crate) end: Arc<End>,
    /// The end's own, kept here so that a search by token reads one stretch of memory.
    pub(crate) token: Token,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    items: Arc<VecDeque<Item>>,
}

impl History {
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn push(&mut self, slot: Slot, end: Arc<End>) {
        let token = end.token;
        Arc::make_mut(&mut self.items).push_back(Item { slot, end, token });
    }

    /// Forgets the oldest.
    pub(crate) fn pop(&mut self) -> Option<Item> {
        Arc::make_mut(&mut self.items).pop_front()
    }

    pub(crate) fn find(&self, token: Token) -> Option<&Arc<End>> {
        self.items.iter().rev().find(|item| item.token == token).map(|item| &item.end)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Item> + ExactSizeIterator {
        self.items.iter()
    }
}
