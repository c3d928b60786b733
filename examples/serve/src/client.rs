//! A client that blocks: one connection, any number of requests in flight.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
};

use bytes::Bytes;
use logboom::ShardId;

use crate::{Answer, Request};

/// A connection to a server. A clone is the same connection: one thread can send while another takes the answers.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// As for any connection.
    pub fn connect(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream })
    }

    /// The same connection once more.
    ///
    /// # Errors
    /// When the system has no descriptor to give.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { stream: self.stream.try_clone()? })
    }

    /// Sends a request, and waits for no answer.
    ///
    /// # Errors
    /// `InvalidInput` when the payload is too long; otherwise the connection is gone, and whether the request arrived
    /// is not known.
    pub fn send(&mut self, shard: ShardId, payload: Bytes) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(16 + payload.len());
        let request = Request { shard, payload };
        request.encode(&mut bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.stream.write_all(&bytes)
    }

    /// Waits for the next answer: to the oldest request that has none yet.
    ///
    /// # Errors
    /// The connection is gone: what became of the requests without an answer is not known.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut bytes = [0; Answer::BYTES];
        self.stream.read_exact(&mut bytes)?;
        Answer::decode(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an answer"))
    }
}
