//! Names of the objects that hold rows.

use std::{fmt, str::FromStr};

use crate::{ids::TableId, object_id::ObjectId};

use super::name::Name;

/// The name of an object with rows of a table: `t7/8f3c2a0d91b4e657-00000000000000a4.parquet`.
///
/// The table's folder is there from the first object on, as paths of a published table are relative to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The table.
    pub table: TableId,
    /// The object.
    pub id: ObjectId,
}

/// The text is not the name of an object with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the name of an object with rows: `t`, the table, a slash, the object's id, `.parquet`")]
pub struct NotAnObjectName;

impl ObjectName {
    /// The folder of a table, in which all of its objects lie.
    pub fn folder(table: TableId) -> Name {
        name(&format!("t{table}"))
    }

    /// The name in the store.
    pub fn name(self) -> Name {
        name(&self.to_string())
    }
}

#[expect(clippy::expect_used, reason = "digits, letters and a slash, of bounded length")]
fn name(text: &str) -> Name {
    Name::new(text).expect("the text of an object name is a name")
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}/{}.parquet", self.table, self.id)
    }
}

impl FromStr for ObjectName {
    type Err = NotAnObjectName;

    /// Takes what [`fmt::Display`] writes and nothing else, so that one object has one name.
    fn from_str(text: &str) -> Result<Self, NotAnObjectName> {
        let (table, rest) = text.strip_prefix('t').and_then(|rest| rest.split_once('/')).ok_or(NotAnObjectName)?;
        let id = rest.strip_suffix(".parquet").ok_or(NotAnObjectName)?;
        let found = Self {
            table: TableId(table.parse().map_err(|_| NotAnObjectName)?),
            id: id.parse().map_err(|_| NotAnObjectName)?,
        };
        // Numbers have several texts: `+7`, `07`.
        if found.to_string() == text { Ok(found) } else { Err(NotAnObjectName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_table_and_object() {
        let object = ObjectName { table: TableId(7), id: ObjectId { nonce: 0x8f3c_2a0d_91b4_e657, number: 164 } };
        assert_eq!(object.name().as_str(), "t7/8f3c2a0d91b4e657-00000000000000a4.parquet");
        assert_eq!(object.to_string().parse(), Ok(object));
        assert!(object.name().is_in(&ObjectName::folder(TableId(7))));
        let last = ObjectName { table: TableId(u64::MAX), id: ObjectId { nonce: u64::MAX, number: u64::MAX } };
        assert_eq!(last.name().as_str().parse(), Ok(last));
    }

    #[test]
    fn another_text_is_not_such_a_name() {
        for text in [
            "LOGBOOM",
            "t7/_delta_log/00000000000000000001.json",
            "7/8f3c2a0d91b4e657-00000000000000a4.parquet",
            "t07/8f3c2a0d91b4e657-00000000000000a4.parquet",
            "t+7/8f3c2a0d91b4e657-00000000000000a4.parquet",
            "t/8f3c2a0d91b4e657-00000000000000a4.parquet",
            "t18446744073709551616/8f3c2a0d91b4e657-00000000000000a4.parquet",
            "t7/8f3c2a0d91b4e657-00000000000000a4",
            "t7/8f3c2a0d91b4e657-a4.parquet",
            "t7/a/8f3c2a0d91b4e657-00000000000000a4.parquet",
        ] {
            assert_eq!(text.parse::<ObjectName>(), Err(NotAnObjectName), "{text}");
        }
    }
}
