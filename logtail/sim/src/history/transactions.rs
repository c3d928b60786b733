//! Transactions up to their commits: begun, filled, rolled back.

use logboom_sim::Failure;
use logboom_wal::marks;

use super::History;
use crate::{check::Check, draft::Draft, life::Life};

/// The most transactions that are open at a time.
const OPEN_MAX: usize = 8;

/// Of how many of the last transactions with a client's id a retry is one, mostly.
const RETRIED_MAX: usize = 4;

impl History {
    /// Begins a transaction, at the watermark or at an older timestamp.
    pub(super) fn begin(&mut self, life: &mut Life) -> Result<(), Failure> {
        let mut draft = if self.choices.percent(25) { self.begin_at(life)? } else { self.begin_now(life) };
        if self.choices.percent(30) {
            let id = u128::from(self.choices.below(u64::MAX)) << 64 | u128::from(self.choices.byte());
            draft.set_client_id(id);
            self.client_ids.push(id);
        }
        if life.drafts.len() == OPEN_MAX {
            let at = self.choices.size(OPEN_MAX);
            life.drafts.swap_remove(at).transaction.rollback();
        }
        life.drafts.push(draft);
        for _ in 0..self.choices.below(5) {
            self.operate_on(life, life.drafts.len() - 1)?;
        }
        Ok(())
    }

    fn begin_now(&self, life: &Life) -> Draft {
        let now = life.tail.watermark();
        Draft::new(life.tail.begin(), now, self.model.catalog(now).clone())
    }

    fn begin_at(&mut self, life: &Life) -> Result<Draft, Failure> {
        let (now, at) = (life.tail.watermark(), self.old_timestamp(life));
        marks::hit_if(at < now, "commit: begun at an older timestamp");
        match life.tail.begin_at(at) {
            Ok(transaction) => Ok(Draft::new(transaction, now, self.model.catalog(at).clone())),
            Err(error) => Err(Failure::new(Check::Visible, format!("beginning at {at}: {error:?}"))),
        }
    }

    /// Goes on with one of the open transactions.
    pub(super) fn operate(&mut self, life: &mut Life) -> Result<(), Failure> {
        if life.drafts.is_empty() {
            return Ok(());
        }
        let at = self.choices.size(life.drafts.len());
        self.operate_on(life, at)
    }

    fn operate_on(&mut self, life: &mut Life, at: usize) -> Result<(), Failure> {
        let tail = life.tail_of(&life.drafts[at]).clone();
        life.drafts[at].operate(&tail, &mut self.choices, &mut self.serial)
    }

    /// A transaction deletes rows of a table that is being flushed. Perhaps another one, which sees them as well, does
    /// so later.
    pub(super) fn delete_beside(&mut self, life: &mut Life, table: u64) -> Result<(), Failure> {
        if life.drafts.len() < OPEN_MAX && self.choices.percent(30) {
            let mut late = self.begin_now(life);
            late.delete_some(table, &life.tail, &mut self.choices)?;
            life.drafts.push(late);
        }
        let mut draft = self.begin_now(life);
        draft.delete_some(table, &life.tail, &mut self.choices)?;
        self.submit(life, draft)
    }

    /// Submits one of the open transactions.
    pub(super) fn submit_one(&mut self, life: &mut Life) -> Result<(), Failure> {
        if life.drafts.is_empty() {
            return Ok(());
        }
        let at = self.choices.size(life.drafts.len());
        let draft = life.drafts.swap_remove(at);
        self.submit(life, draft)
    }

    /// Commits a transaction with the id of another one: a client that did not hear of the first, or does not know that
    /// it is committed.
    pub(super) fn retry(&mut self, life: &mut Life) -> Result<(), Failure> {
        let all = self.client_ids.len();
        let among = if self.choices.percent(70) { all.min(RETRIED_MAX) } else { all };
        let Some(id) = self.client_ids.iter().rev().nth(self.choices.size(among)).copied() else { return Ok(()) };
        let mut draft = self.begin_now(life);
        draft.set_client_id(id);
        draft.operate(&life.tail, &mut self.choices, &mut self.serial)?;
        self.submit(life, draft)
    }
}
