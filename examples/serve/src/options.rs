//! The options of both servers, and how they start.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use clap::Parser;
use logboom::{Config, Engine};

/// Serves a length-prefixed append protocol over TCP, on a Logboom engine.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// The directory of the log; created when absent.
    #[arg(long)]
    pub dir: PathBuf,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1:7420")]
    pub listen: SocketAddr,
    /// The size of a segment of the log, if it is created.
    #[arg(long, default_value_t = 64 << 20)]
    pub segment_bytes: u64,
}

impl Options {
    /// Opens the engine and the socket, and says where it listens. To be called before there is a runtime: recovery
    /// blocks, and nobody is served before it is done.
    ///
    /// # Errors
    /// What opening the engine or the socket fails with.
    pub fn start(&self) -> Result<(Engine, TcpListener), Box<dyn std::error::Error>> {
        let mut config = Config::new(&self.dir);
        config.segment_bytes = self.segment_bytes;
        let engine = Engine::open(config)?;
        let listener = TcpListener::bind(self.listen)?;
        eprintln!("listening on {}", listener.local_addr()?);
        Ok((engine, listener))
    }
}
