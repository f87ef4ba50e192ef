//! A disk that can lose its power, fill up and fail, below an unmodified `ebla`.
//!
//! [`Layer`] is a small library of C, built with the system's compiler, that LD_PRELOAD puts between the program and
//! libc. It records every change below one directory in a log ([`log`]), and refuses operations as a control file says
//! ([`fault`]). From a log [`model`] builds what a disk may hold when the power goes at any place of it.
//!
//! ```text
//! let disk = DiskFolder::new(&folder);                 // <folder>/disk: data directory and file:// repositories
//! Server::configure("x").data_dir(…).envs(disk.recording(&layer))
//! … statements; disk.position() after each acknowledgement …
//! Disk::replay(…).power_loss(position, …).write(disk.path())
//! ```

pub mod fault;
pub mod log;
pub mod model;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::preload;
use crate::server::ServerBuilder;
use crate::skip;

const SOURCE: &str = include_str!("disk/layer.c");

/// The compiled layer.
#[derive(Debug, Clone)]
pub struct Layer {
    library: PathBuf,
}

impl Layer {
    /// The layer, built when it was not; `None` after a skip where there is no C compiler.
    pub fn get() -> Option<Layer> {
        static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| preload::library("disk-layer", SOURCE));
        match &*BUILT {
            Ok(library) => Some(Layer { library: library.clone() }),
            Err(reason) => {
                skip::skip(reason);
                None
            }
        }
    }
}

/// The directory that a server has its data and its repositories in, with the files of the layer beside it.
#[derive(Debug)]
pub struct Watched {
    root: PathBuf,
    log: PathBuf,
    control: PathBuf,
    library: PathBuf,
}

impl Watched {
    /// Makes the directory `disk` in a folder.
    pub fn new(layer: &Layer, folder: &Path) -> Watched {
        let folder = std::fs::canonicalize(folder).unwrap();
        let root = folder.join("disk");
        std::fs::create_dir(&root).unwrap();
        let (log, control) = (folder.join("disk.log"), folder.join("disk.control"));
        Watched { root, log, control, library: layer.library.clone() }
    }

    /// The watched directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Has a server recorded.
    #[must_use]
    pub fn record(&self, server: ServerBuilder) -> ServerBuilder {
        self.watch(server).env("DISK_LAYER_LOG", self.log.to_str().unwrap())
    }

    /// Has a server meet faults.
    #[must_use]
    pub fn fail(&self, server: ServerBuilder) -> (ServerBuilder, fault::Faults) {
        let faults = fault::Faults::new(&self.control);
        (self.watch(server).env("DISK_LAYER_CONTROL", self.control.to_str().unwrap()), faults)
    }

    /// Has a server neither recorded nor refused anything from its next start on. The layer stays, for its syncs cost
    /// nothing.
    #[must_use]
    pub fn leave(server: ServerBuilder) -> ServerBuilder {
        server.without_env("DISK_LAYER_LOG").without_env("DISK_LAYER_CONTROL")
    }

    fn watch(&self, server: ServerBuilder) -> ServerBuilder {
        let library = self.library.to_str().unwrap();
        server.env("LD_PRELOAD", library).env("DISK_LAYER_ROOT", self.root.to_str().unwrap())
    }

    /// Where the log ends now. What somebody has been told by now was done before this place.
    pub fn position(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |metadata| metadata.len())
    }

    /// All that has been recorded.
    pub fn events(&self) -> Vec<log::Event> {
        log::read(&self.log)
    }
}
