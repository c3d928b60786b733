//! Finds the identity of the log: in `LOGBOOM`, in the files of an interrupted creation or, if `LOGBOOM` is lost, in
//! the other files.

use std::{io, sync::Arc};

use logboom_disk::{Disk, Mode, Pool};

use crate::{
    format::options::Options,
    runtime::worker::Clock,
    segments::{
        identity::{Identity, LOCK, NAME, NAME_COPY, NAME_NEW, NAME_RESTORED},
        log_match::implied_seed,
        segment::slot_of,
        slots::{Failure, is_slot},
        supply::is_prefill,
        unreadable::{UnreadableRanges, is_media_error, read_or_zeros},
    },
    types::{error::Error, identity_fault::IdentityFault, marks},
};

/// The bytes to read of a file whose pad unit is unknown: enough for its header and its first group.
const READ_BYTES: u64 = 128 << 10;

/// Checks that a directory is a log or can become one. Call it before anything is created in the directory, a lock
/// included.
///
/// # Errors
/// [`Error::Foreign`] if it holds files and no log; [`Error::Identity`], [`Error::Io`].
pub fn recognise(disk: &dyn Disk) -> Result<(), Error> {
    if names(disk)?.iter().any(|name| name == NAME) {
        // The opening checks its content.
        return Ok(());
    }
    FoundIdentity::read(disk, &Pool::new(0)).map(drop)
}

/// Writes `LOGBOOM` again, from the other files of the log. Durable on return; returns what was wrong.
///
/// The directory must be locked. A `LOGBOOM` that names another log is replaced.
///
/// # Errors
/// [`Error::Misuse`] if `LOGBOOM` is intact; [`Error::Identity`] if the other files do not state an identity, or
/// belong to several logs; those of [`open_read_only`](crate::open_read_only). Nothing was changed in these cases.
/// [`Error::Io`].
pub fn restore_identity(disk: Arc<dyn Disk>) -> Result<Arc<IdentityFault>, Error> {
    let fault = match crate::recovery::opening::open_read_only(Arc::clone(&disk), Options::default()) {
        Ok(opening) => opening.report().identity.clone(),
        Err(Error::Identity(fault)) => Some(fault),
        Err(error) => return Err(error),
    };
    let fault = fault.ok_or_else(|| Error::Misuse { what: format!("{NAME} is intact: nothing to restore") })?;
    let pool = Pool::new(0);
    let found = match fault.is_restorable().then(|| FoundIdentity::read_elsewhere(&*disk, &pool, NAME)) {
        // The other files do not agree: the fault of LOGBOOM itself is the better report.
        Some(Err(Error::Identity(_))) | None => None,
        Some(found) => found?,
    };
    let Some(FoundIdentity { identity, .. }) = found else { return Err(Error::Identity(fault)) };
    let written = identity.write(&*disk, &pool, NAME_RESTORED);
    let named = written.and_then(|()| Identity::name(&*disk, NAME_RESTORED)).map_err(Failure::into_error);
    named.map(|()| fault).map_err(|error| Error::io(format!("restoring {NAME}"), error))
}

/// An identity, and where it was found.
#[derive(Debug)]
pub(crate) struct FoundIdentity {
    pub(crate) identity: Identity,
    pub(crate) source: IdentitySource,
}

/// Where the identity of a log was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IdentitySource {
    /// In `LOGBOOM`.
    Logboom,
    /// In `LOGBOOM.new`: the log is being created.
    Creation,
    /// In the copies in other files, or derived from their checksums; `LOGBOOM` has this fault.
    OtherFiles(String),
}

impl FoundIdentity {
    /// Finds the identity of the log on `disk`; creates one if there is none and the options allow it.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Identity`], [`Error::NewerFormat`], [`Error::Unsupported`], [`Error::Io`].
    pub(crate) fn find(
        disk: &dyn Disk,
        pool: &Pool,
        options: &Options,
        clock: &dyn Clock,
        mode: Mode,
    ) -> Result<Self, Error> {
        let creates = mode == Mode::Write && options.create;
        match Self::read(disk, pool)? {
            Some(found) if creates || found.source != IdentitySource::Creation => Ok(found),
            None if creates => {
                options.check_for(options.segment_bytes)?;
                let identity = Identity::new(disk, options, [clock.nonce(), clock.nonce()])?;
                let written = identity.write(disk, pool, NAME_NEW).map_err(Failure::into_error);
                written.map_err(|error| Error::io(format!("creating {NAME}"), error))?;
                Ok(Self { identity, source: IdentitySource::Creation })
            }
            Some(_) => Err(Error::Foreign("the creation of the log was interrupted: there is no log yet".to_owned())),
            None if mode == Mode::Write => {
                Err(Error::Foreign("the directory holds no log, and `create` is false".to_owned()))
            }
            None => {
                let what = "the directory holds no log: opening it for writing creates one, unless `create` is false";
                Err(Error::Foreign(what.to_owned()))
            }
        }
    }

    /// Gives a new log its name, once its first group is durable. Durable on return.
    pub(crate) fn complete(&self, disk: &dyn Disk) -> Result<(), Error> {
        if self.source != IdentitySource::Creation {
            return Ok(());
        }
        let named = Identity::name(disk, NAME_NEW).map_err(Failure::into_error);
        named.map_err(|error| Error::io(format!("creating {NAME}"), error))
    }

    /// `None` if the directory is empty, or has only what an interrupted creation left.
    fn read(disk: &dyn Disk, pool: &Pool) -> Result<Option<Self>, Error> {
        match Identity::read(disk, pool, NAME) {
            Ok(Some(identity)) => return Ok(Some(Self { identity, source: IdentitySource::Logboom })),
            Ok(None) => {}
            Err(error) => {
                let Some(what) = why_lost(&error) else { return Err(error) };
                return Self::read_elsewhere(disk, pool, &what)?.map(Some).ok_or(error);
            }
        }
        let names = names(disk)?;
        if names.iter().any(|name| name == NAME_COPY) {
            return Err(Error::Foreign("the directory holds an unfinished copy: copy again".to_owned()));
        }
        // A second creation first removes what the first one made: interrupted there, it leaves a file in preparation.
        let is_leftover = |name: &str| matches!(name, NAME_NEW | LOCK) || is_prefill(name);
        let Some(other) = names.iter().find(|name| !is_leftover(name)) else { return Ok(None) };
        // `LOGBOOM.new` is durable before any other file of a new log has its name.
        if let Ok(Some(identity)) = Identity::read(disk, pool, NAME_NEW) {
            marks::hit("recovery: the log was being made");
            return Ok(Some(Self { identity, source: IdentitySource::Creation }));
        }
        let found = Self::read_elsewhere(disk, pool, &format!("{NAME} is missing"))?;
        found.map(Some).ok_or_else(|| Error::Foreign(format!("there is no file {NAME}, but there is {other:?}")))
    }

    /// Derives the identity from segments and checkpoints, without `LOGBOOM`; `None` if none of them has a header.
    fn read_elsewhere(disk: &dyn Disk, pool: &Pool, what: &str) -> Result<Option<Self>, Error> {
        let mut files = Vec::new();
        for name in names(disk)? {
            if slot_of(&name).is_some() || is_slot(&name) {
                let file = FileIdentity::at(disk, pool, &name);
                files.extend(file.map_err(|error| Error::io(format!("reading {name}"), error))?);
            }
        }
        let mut copies = files.iter().filter_map(|file| file.copy);
        let identity = match copies.next() {
            Some(copy) => copies.all(|other| other == copy).then_some(copy),
            None => FileIdentity::inferred(&files),
        };
        match identity {
            _ if files.is_empty() => Ok(None),
            Some(identity) => {
                identity.require_pad(disk.facts().pad_unit)?;
                marks::hit("recovery: the identity is read from a copy");
                Ok(Some(Self { identity, source: IdentitySource::OtherFiles(what.to_owned()) }))
            }
            None => {
                let (foreign, unverified): (Vec<FileIdentity>, Vec<FileIdentity>) =
                    files.into_iter().partition(|file| file.copy.is_some());
                Err(Error::Identity(Arc::new(IdentityFault {
                    logboom: Some(what.to_owned()),
                    ours: Vec::new(),
                    foreign: foreign.into_iter().map(|file| (file.name, file.copy.map(|copy| copy.log))).collect(),
                    unverified: unverified.into_iter().map(|file| file.name).collect(),
                })))
            }
        }
    }
}

/// The fault of `LOGBOOM`, if its content may still be derived from other files after this error.
fn why_lost(error: &Error) -> Option<String> {
    match error {
        Error::Foreign(what) => Some(what.clone()),
        Error::Io { what, error } if is_media_error(error) => Some(format!("{what}: {error}")),
        _ => None,
    }
}

/// The identity that a segment file or a checkpoint slot states, or that is inferred from its checksums.
struct FileIdentity {
    name: String,
    copy: Option<Identity>,
    /// An identity that matches both its header and its first group.
    inferred: Option<Identity>,
}

impl FileIdentity {
    /// `None` if the file has no readable header.
    fn at(disk: &dyn Disk, pool: &Pool, name: &str) -> io::Result<Option<Self>> {
        match Self::read(disk, pool, name) {
            Err(error) if is_media_error(&error) => Ok(None),
            file => file,
        }
    }

    fn read(disk: &dyn Disk, pool: &Pool, name: &str) -> io::Result<Option<Self>> {
        let file = disk.open(name, Mode::Read)?;
        let (size, unit) = (file.size()?, disk.facts().pad_unit as u64);
        let len = usize::try_from(size.min(READ_BYTES) / unit * unit).unwrap_or_default();
        if len == 0 {
            return Ok(None);
        }
        let bytes = read_or_zeros(&*file, pool, disk.facts().pad_unit, 0..len, &mut UnreadableRanges::default())?;
        let (copy, seed) = (Identity::copy_in(&bytes), implied_seed(&bytes));
        let is_header_of = |pad: &usize| implied_seed(&bytes[(*pad).min(len)..]);
        // The first group begins after the first pad unit.
        let pads = (9..17).map(|bits| 1_usize << bits);
        let grouped = pads.clone().find(|pad| seed.is_some() && is_header_of(pad) == seed);
        let inferred = seed.zip(grouped).filter(|_| slot_of(name).is_some());
        let inferred = inferred.and_then(|(seed, pad)| Identity::with_seed(seed, size, pad));
        let has_header = copy.is_some() || seed.is_some() || pads.clone().any(|pad| is_header_of(&pad).is_some());
        Ok(has_header.then(|| Self { name: name.to_owned(), copy, inferred }))
    }

    /// The identity that all files agree on that state one.
    fn inferred(files: &[Self]) -> Option<Identity> {
        let mut inferred = files.iter().filter_map(|file| file.inferred);
        let first = inferred.next()?;
        inferred.all(|other| other == first).then_some(first)
    }
}

fn names(disk: &dyn Disk) -> Result<Vec<String>, Error> {
    disk.list().map_err(|error| Error::io("listing the directory", error))
}
