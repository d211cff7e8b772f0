// SPDX-License-Identifier: GPL-2.0

//! Host for tests, with streams in memory, a settable clock and interruptions on demand.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of this module")]

use kwasmi_engine::{
    ffi::{
        FileStat,
        InstanceLimits,
        ModuleLimits, //
    },
    host::{
        At,
        End,
        Fail,
        Handle,
        Host,
        Operations,
        Pause,
        Span, //
    },
    instance::{
        Instance,
        Outcome, //
    },
    module::{
        Module,
        Options, //
    },
    wasi::{
        WasiCtx,
        abi::{
            ClockId,
            Errno,
            FdFlags,
            Rights,
            Whence, //
        },
        fds::{
            Descriptor,
            Descriptors, //
        },
        strings::Strings,
    },
};
use std::sync::{
    Arc,
    Mutex, //
};

/// State of the host: effects of the guest, and events that tests schedule.
#[derive(Debug, Default)]
pub struct World {
    pub input: Vec<u8>,
    pub input_at: usize,
    pub output: Vec<u8>,
    pub errors: Vec<u8>,
    pub clock: u64,
    pub slept_until: Vec<u64>,
    pub closed: Vec<u32>,
    pub checkpoints: usize,
    /// Results of the next checkpoints, the last element first. Later checkpoints return
    /// [`Pause::Continue`].
    pub pauses: Vec<Pause>,
    /// Number of the next sleeping host calls that are interrupted.
    pub interruptions: usize,
    /// Upper bound of the bytes of one transfer.
    pub transfer_max: Option<usize>,
    /// Error of every transfer, if set.
    pub broken: Option<Errno>,
}

/// [`Host`] with a [`World`] that the test can access.
#[derive(Clone, Debug, Default)]
pub struct TestHost(pub Arc<Mutex<World>>);

impl TestHost {
    pub fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.0.lock().expect("a lock that no test poisons")
    }

    fn interruptible(&self) -> Result<(), Fail> {
        let mut world = self.world();
        if world.interruptions > 0 {
            world.interruptions -= 1;
            return Err(Fail::Interrupted);
        }
        match world.broken {
            Some(errno) => Err(Fail::Errno(errno)),
            None => Ok(()),
        }
    }
}

impl Operations for TestHost {
    type Error = Fail;

    fn seek(&mut self, _handle: Handle, _offset: i64, _whence: Whence) -> Result<u64, Fail> {
        Err(Errno::SPipe.into())
    }

    fn close(&mut self, handle: Handle) -> Result<(), Fail> {
        self.world().closed.push(handle.0);
        Ok(())
    }

    fn stat(&mut self, handle: Handle) -> Result<FileStat, Fail> {
        Ok(FileStat { ino: u64::from(handle.0), mode: 0o010_600, ..FileStat::default() })
    }

    fn set_flags(&mut self, _handle: Handle, _flags: FdFlags) -> Result<(), Fail> {
        Err(Errno::NotSup.into())
    }

    fn clock_time(&mut self, clock: ClockId) -> Result<u64, Fail> {
        match clock {
            ClockId::Realtime => Ok(self.world().clock + 1_000_000_000_000),
            ClockId::Monotonic => Ok(self.world().clock),
            _ => Err(Errno::Inval.into()),
        }
    }

    fn clock_resolution(&mut self, _clock: ClockId) -> Result<u64, Fail> {
        Ok(1)
    }

    fn sleep_until(&mut self, _clock: ClockId, deadline: u64) -> Result<(), Fail> {
        self.interruptible()?;
        let mut world = self.world();
        world.slept_until.push(deadline);
        world.clock = world.clock.max(deadline);
        Ok(())
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), Fail> {
        self.interruptible()?;
        bytes.fill(0x5a);
        Ok(())
    }

    fn yield_now(&mut self) -> Result<(), Fail> {
        Ok(())
    }
}

impl Host for TestHost {
    fn checkpoint(&mut self) -> Pause {
        let mut world = self.world();
        world.checkpoints += 1;
        world.pauses.pop().unwrap_or(Pause::Continue)
    }

    fn read(&mut self, handle: Handle, memory: &mut [u8], spans: &[Span], _at: At) -> Result<usize, Fail> {
        self.interruptible()?;
        let mut world = self.world();
        if handle.0 != 0 {
            return Err(Errno::BadF.into());
        }
        let mut left = world.transfer_max.unwrap_or(usize::MAX);
        let mut done = 0;
        for span in spans {
            let len = span.len.min(world.input.len() - world.input_at).min(left);
            let at = world.input_at;
            memory[span.start..span.start + len].copy_from_slice(&world.input[at..at + len]);
            world.input_at += len;
            left -= len;
            done += len;
        }
        Ok(done)
    }

    fn write(&mut self, handle: Handle, memory: &[u8], spans: &[Span], _at: At) -> Result<usize, Fail> {
        self.interruptible()?;
        let mut world = self.world();
        let mut left = world.transfer_max.unwrap_or(usize::MAX);
        let mut done = 0;
        for span in spans {
            let len = span.len.min(left);
            let bytes = &memory[span.start..span.start + len];
            match handle.0 {
                1 => world.output.extend_from_slice(bytes),
                2 => world.errors.extend_from_slice(bytes),
                _ => return Err(Errno::BadF.into()),
            }
            left -= len;
            done += len;
        }
        Ok(done)
    }
}

/// Limits that no test reaches.
pub const ROOMY: InstanceLimits = InstanceLimits { fuel: u64::MAX, memory: 1 << 30, table: 1 << 24, fds: 1024 };

/// Limits of modules that no test reaches.
pub const ROOMY_MODULE: ModuleLimits = ModuleLimits {
    functions: 1 << 20,
    function_size: 1 << 20,
    locals: 1 << 20,
    arity: 1000,
    globals: 1 << 20,
    data_segments: 1 << 20,
    element_segments: 1 << 20,
    stack: 1 << 20,
};

/// Loads a module from text, or returns the reason of the refusal.
pub fn load(text: &str) -> Result<Module<TestHost>, String> {
    load_bytes(&wat::parse_str(text).expect("valid text"))
}

/// Loads a module from bytes, or returns the reason of the refusal.
pub fn load_bytes(wasm: &[u8]) -> Result<Module<TestHost>, String> {
    let options = Options { limits: ROOMY_MODULE, fault_injection: true };
    Module::new(wasm, options).map_err(|refusal| refusal.to_string())
}

/// Returns the state of a guest with standard streams.
pub fn context(host: &TestHost) -> WasiCtx<TestHost> {
    let mut fds = Descriptors::new(1024);
    let rights = [
        Rights::FD_READ.with(Rights::FD_FILESTAT_GET),
        Rights::FD_WRITE.with(Rights::FD_FILESTAT_GET),
        Rights::FD_WRITE,
    ];
    for (fd, rights) in (0..).zip(rights) {
        let none = Rights::NONE;
        let descriptor = Descriptor { handle: Handle(fd), rights, inheriting: none, refused: none, preopen: None };
        fds.insert(fd, descriptor).expect("an unused number");
    }
    let args = Strings::new(b"guest\0one\0two words\0").expect("terminated strings");
    let env = Strings::new(b"NAME=value\0").expect("terminated strings");
    WasiCtx::new(host.clone(), args, env, fds)
}

/// Starts a guest with standard streams.
pub fn start(module: &Module<TestHost>, host: &TestHost, limits: InstanceLimits) -> Result<Instance<TestHost>, String> {
    Instance::new(module, context(host), limits).map_err(|refusal| refusal.to_string())
}

/// Runs a guest from text to its end.
pub fn run(text: &str, host: &TestHost) -> End {
    let module = load(text).expect("loads");
    let mut instance = start(&module, host, ROOMY).expect("starts");
    finish(&mut instance)
}

/// Runs a guest to its end and continues it after each interruption.
pub fn finish(instance: &mut Instance<TestHost>) -> End {
    loop {
        if let Outcome::Ended(end) = instance.run(|_| {}) {
            return end;
        }
    }
}
