//! The types of openraft 0.9, as they are stored.

use openraft::{BasicNode, EmptyNode, Entry, EntryPayload, LeaderId, LogId, Membership, NodeId, RaftTypeConfig};

use crate::{
    entry::{Content, Parts, StoredEntry},
    error::Failure,
    field::{Field, only},
    log_id::Leader,
    membership,
};

impl<I: NodeId + Field> Leader for LeaderId<I> {
    fn term(&self) -> u64 {
        self.term
    }

    fn put_rest(&self, to: &mut Vec<u8>) {
        self.node_id.put(to);
    }

    fn take(term: u64, from: &mut &[u8]) -> Option<Self> {
        Some(Self { term, node_id: I::take(from)? })
    }
}

impl<C> StoredEntry for Entry<C>
where
    C: RaftTypeConfig,
    C::NodeId: Field,
    C::Node: Field,
{
    type Leader = LeaderId<C::NodeId>;
    type Data = C::D;

    fn into_parts(self) -> Parts<Self::Leader, C::D> {
        let content = match self.payload {
            EntryPayload::Blank => Content::Blank,
            EntryPayload::Normal(data) => Content::Normal(data),
            EntryPayload::Membership(membership) => {
                let mut bytes = Vec::new();
                membership::put(membership.get_joint_config(), membership.nodes(), &mut bytes);
                Content::Membership(bytes.into())
            }
        };
        Parts { leader: self.log_id.leader_id, index: self.log_id.index, content }
    }

    fn from_parts(parts: Parts<Self::Leader, C::D>) -> Result<Self, Failure> {
        let payload = match parts.content {
            Content::Blank => EntryPayload::Blank,
            Content::Normal(data) => EntryPayload::Normal(data),
            Content::Membership(bytes) => {
                let members = only(&bytes, membership::take);
                let (configs, nodes) = members.ok_or("it is no membership of these types")?;
                EntryPayload::Membership(Membership::new(configs, nodes))
            }
        };
        Ok(Self { log_id: LogId::new(parts.leader, parts.index), payload })
    }

    fn into_data(self) -> Option<C::D> {
        match self.payload {
            EntryPayload::Normal(data) => Some(data),
            EntryPayload::Blank | EntryPayload::Membership(_) => None,
        }
    }
}

impl Field for BasicNode {
    fn put(&self, to: &mut Vec<u8>) {
        self.addr.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(Self { addr: Field::take(from)? })
    }
}

impl Field for EmptyNode {
    fn put(&self, _: &mut Vec<u8>) {}

    fn take(_: &mut &[u8]) -> Option<Self> {
        Some(Self {})
    }
}
