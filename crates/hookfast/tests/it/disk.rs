//! File systems of a test's own, to cut their power or to fill them. What was mounted is unmounted again, also when
//! the test fails. It knows no server.

use hookfast_testkit::skip;
use std::fs::{File, Permissions};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Waits for a line, then stops every write of a file system at once, its journal included: what was not synced before
/// is gone (`EXT4_IOC_SHUTDOWN`, flag `NOLOGFLUSH`).
const CUT: &str = "import fcntl,os,struct,sys;f=os.open(sys.argv[1],os.O_RDONLY);print('ready',flush=True);\
sys.stdin.readline();fcntl.ioctl(f,0x8004587D,struct.pack('I',2))";

/// A mount, undone when dropped.
struct Mount(PathBuf);

impl Mount {
    fn make(options: &[&str], what: &Path, path: PathBuf) -> Result<Self, String> {
        if !path.exists() {
            std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        }
        run(Command::new("mount").args(options).arg(what).arg(&path))?;
        Ok(Self(path))
    }

    /// A file system in memory.
    fn memory(mib: u64, path: PathBuf) -> Result<Self, String> {
        Self::make(&["-t", "tmpfs", "-o", &format!("size={mib}m")], Path::new("tmpfs"), path)
    }

    /// An image that is written when somebody syncs, and else hardly ever.
    fn image(image: &Path, path: PathBuf) -> Result<Self, String> {
        Self::make(&["-o", "loop,commit=600"], image, path)
    }

    fn unmount(&self) -> Result<(), String> {
        run(Command::new("umount").arg(&self.0))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A server that was killed a moment ago may still have its files open.
        for _ in 0..100 {
            if self.unmount().is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // It goes as soon as nobody uses it any more.
        let _ = run(Command::new("umount").arg("--lazy").arg(&self.0));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program}: {} {said}", output.status)) }
}

/// A file system below a temporary directory. Dropping it unmounts it.
pub(crate) struct Disk {
    // Dropped in this order.
    mount: Option<Mount>,
    /// Where its image lies, if it has one: in memory, so that a sync takes as long as on a good disk, whatever the
    /// disk of this machine is busy with.
    _under: Option<Mount>,
    dir: TempDir,
}

impl Disk {
    /// An ext4 whose power can be cut. `None`, and the test is skipped, where none can be had.
    pub(crate) fn ext4(mib: u64) -> Option<Self> {
        said(Self::try_ext4(mib), "no power cut here")
    }

    fn try_ext4(mib: u64) -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        // Servers that run as another user keep their files there too.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o711)).map_err(|error| error.to_string())?;
        let under = Mount::memory(mib, dir.path().join("under"))?;
        let mut disk = Self { mount: None, _under: Some(under), dir };
        let image = disk.image();
        File::create(&image).and_then(|file| file.set_len(mib << 20)).map_err(|error| error.to_string())?;
        run(Command::new("mkfs.ext4").arg("-qF").arg(&image))?;
        // Whether power can be cut shows only when it is: first on an empty disk.
        disk.mount = Some(Mount::image(&image, disk.path())?);
        disk.try_switch()?.try_off()?;
        disk.power_on();
        Ok(disk)
    }

    /// A file system of a fixed size. `None`, and the test is skipped, where none can be had.
    pub(crate) fn tmpfs(mib: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = said(Mount::memory(mib, dir.path().join("m")), "no disk of its own to fill here")?;
        Some(Self { mount: Some(mount), _under: None, dir })
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("m")
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("under/image")
    }

    /// Gets ready to cut its power, so that the cut itself takes no time.
    pub(crate) fn switch(&self) -> Switch {
        self.try_switch().unwrap()
    }

    fn try_switch(&self) -> Result<Switch, String> {
        let mut command = Command::new("python3");
        command.args(["-c", CUT]).arg(self.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("python3: {error}"))?;
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
        if read.is_ok() && line == "ready\n" { Ok(Switch(child)) } else { Err(format!("python3 said {line:?}")) }
    }

    /// Mounts what had reached the disk. Nobody may use it any more.
    pub(crate) fn power_on(&mut self) {
        drop(self.mount.take());
        self.mount = Some(Mount::image(&self.image(), self.path()).unwrap());
    }

    /// Takes `bytes` of its space, or all that is left.
    pub(crate) fn fill(&self, bytes: Option<u64>) -> Filler {
        let filler = Filler(self.path().join("filler"));
        let mut file = File::options().create(true).append(true).open(&filler.0).unwrap();
        let mut left = bytes.unwrap_or(u64::MAX);
        let mut step = 1 << 20;
        while left > 0 && step > 0 {
            let length = left.min(step);
            match file.write(&vec![0; usize::try_from(length).unwrap()]) {
                Ok(written) => left -= written as u64,
                Err(error) if error.kind() == ErrorKind::StorageFull => step /= 2,
                Err(error) => panic!("fill {}: {error}", filler.0.display()),
            }
        }
        filler
    }
}

/// Cuts the power of a disk. From then on nothing reaches it; it needs [`Disk::power_on`].
pub(crate) struct Switch(Child);

impl Switch {
    pub(crate) fn off(self) {
        self.try_off().unwrap();
    }

    fn try_off(mut self) -> Result<(), String> {
        drop(self.0.stdin.take());
        let status = self.0.wait().map_err(|error| format!("python3: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("the shutdown of the file system: {status}")) }
    }
}

impl Drop for Switch {
    /// One that was not used holds its disk.
    fn drop(&mut self) {
        if self.0.stdin.is_some() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// What takes the space, until it is told to go.
pub(crate) struct Filler(PathBuf);

impl Filler {
    pub(crate) fn remove(self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

fn said<T>(had: Result<T, String>, what: &str) -> Option<T> {
    had.inspect_err(|error| skip(&format!("{what}: {error}"))).ok()
}

/// Is this program there?
pub(crate) fn has_program(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| Path::join(&dir, program).is_file()))
}
