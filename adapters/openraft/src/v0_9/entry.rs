//! The types of openraft 0.9, as they are stored.

use bytes::Bytes;
use openraft::{BasicNode, EmptyNode, Entry, EntryPayload, LeaderId, LogId, Membership, NodeId, RaftTypeConfig};

use crate::{DataCodec, Failure, Field, Kind, Leader, Parts, StoredEntry, field::only, membership};

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
    C::D: DataCodec,
    C::NodeId: Field,
    C::Node: Field,
{
    type Leader = LeaderId<C::NodeId>;
    type Data = C::D;

    fn into_parts(self) -> Parts<Self::Leader> {
        let (kind, payload) = match self.payload {
            EntryPayload::Blank => (Kind::Blank, Bytes::new()),
            EntryPayload::Normal(data) => (Kind::Normal, data.into_bytes()),
            EntryPayload::Membership(membership) => {
                let mut bytes = Vec::new();
                membership::put(membership.get_joint_config(), membership.nodes(), &mut bytes);
                (Kind::Membership, bytes.into())
            }
        };
        Parts { leader: self.log_id.leader_id, index: self.log_id.index, kind, payload }
    }

    fn from_parts(parts: Parts<Self::Leader>) -> Result<Self, Failure> {
        let payload = match parts.kind {
            Kind::Blank => EntryPayload::Blank,
            Kind::Normal => EntryPayload::Normal(C::D::from_bytes(parts.payload)?),
            Kind::Membership => {
                let members = only(&parts.payload, membership::take);
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
