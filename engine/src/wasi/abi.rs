// SPDX-License-Identifier: GPL-2.0

//! Types of WASI preview 1, with the values of its [witx
//! definition](https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/witx/typenames.witx).

#[path = "rights.rs"]
mod rights;

macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident: $repr:ident { $($variant:ident = $value:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr($repr)]
        #[expect(missing_docs, reason = "names of the specification")]
        pub enum $name {
            $($variant = $value,)*
        }

        impl $name {
            /// Returns the variant with value `raw`.
            #[must_use]
            pub fn from_raw(raw: $repr) -> Option<Self> {
                match raw {
                    $($value => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

numbers! {
    /// Preview 1 `errno`.
    Errno: u16 {
        Success = 0, TooBig = 1, Acces = 2, AddrInUse = 3, AddrNotAvail = 4, AfNoSupport = 5, Again = 6, Already = 7,
        BadF = 8, BadMsg = 9, Busy = 10, Canceled = 11, Child = 12, ConnAborted = 13, ConnRefused = 14, ConnReset = 15,
        DeadLk = 16, DestAddrReq = 17, Dom = 18, DQuot = 19, Exist = 20, Fault = 21, FBig = 22, HostUnreach = 23,
        IdRm = 24, IlSeq = 25, InProgress = 26, Intr = 27, Inval = 28, Io = 29, IsConn = 30, IsDir = 31, Loop = 32,
        MFile = 33, MLink = 34, MsgSize = 35, MultiHop = 36, NameTooLong = 37, NetDown = 38, NetReset = 39,
        NetUnreach = 40, NFile = 41, NoBufs = 42, NoDev = 43, NoEnt = 44, NoExec = 45, NoLck = 46, NoLink = 47,
        NoMem = 48, NoMsg = 49, NoProtoOpt = 50, NoSpc = 51, NoSys = 52, NotConn = 53, NotDir = 54, NotEmpty = 55,
        NotRecoverable = 56, NotSock = 57, NotSup = 58, NoTty = 59, NxIo = 60, Overflow = 61, OwnerDead = 62,
        Perm = 63, Pipe = 64, Proto = 65, ProtoNoSupport = 66, PrototType = 67, Range = 68, RoFs = 69, SPipe = 70,
        Srch = 71, Stale = 72, TimedOut = 73, TxtBsy = 74, XDev = 75, NotCapable = 76,
    }
}

impl Errno {
    /// Converts a Linux `errno` of `asm-generic/errno-base.h` or `asm-generic/errno.h`.
    #[must_use]
    pub fn from_linux(errno: i32) -> Self {
        match errno {
            1 => Self::Perm,
            2 => Self::NoEnt,
            3 => Self::Srch,
            4 => Self::Intr,
            5 => Self::Io,
            6 => Self::NxIo,
            7 => Self::TooBig,
            8 => Self::NoExec,
            9 => Self::BadF,
            10 => Self::Child,
            11 => Self::Again,
            12 => Self::NoMem,
            13 => Self::Acces,
            14 => Self::Fault,
            16 => Self::Busy,
            17 => Self::Exist,
            18 => Self::XDev,
            19 => Self::NoDev,
            20 => Self::NotDir,
            21 => Self::IsDir,
            22 => Self::Inval,
            23 => Self::NFile,
            24 => Self::MFile,
            25 => Self::NoTty,
            26 => Self::TxtBsy,
            27 => Self::FBig,
            28 => Self::NoSpc,
            29 => Self::SPipe,
            30 => Self::RoFs,
            31 => Self::MLink,
            32 => Self::Pipe,
            33 => Self::Dom,
            34 => Self::Range,
            35 => Self::DeadLk,
            36 => Self::NameTooLong,
            37 => Self::NoLck,
            38 => Self::NoSys,
            39 => Self::NotEmpty,
            40 => Self::Loop,
            42 => Self::NoMsg,
            43 => Self::IdRm,
            67 => Self::NoLink,
            71 => Self::Proto,
            72 => Self::MultiHop,
            74 => Self::BadMsg,
            75 => Self::Overflow,
            84 => Self::IlSeq,
            88 => Self::NotSock,
            89 => Self::DestAddrReq,
            90 => Self::MsgSize,
            91 => Self::PrototType,
            92 => Self::NoProtoOpt,
            93 => Self::ProtoNoSupport,
            95 => Self::NotSup,
            97 => Self::AfNoSupport,
            98 => Self::AddrInUse,
            99 => Self::AddrNotAvail,
            100 => Self::NetDown,
            101 => Self::NetUnreach,
            102 => Self::NetReset,
            103 => Self::ConnAborted,
            104 => Self::ConnReset,
            105 => Self::NoBufs,
            106 => Self::IsConn,
            107 => Self::NotConn,
            110 => Self::TimedOut,
            111 => Self::ConnRefused,
            113 => Self::HostUnreach,
            114 => Self::Already,
            115 => Self::InProgress,
            116 => Self::Stale,
            122 => Self::DQuot,
            125 => Self::Canceled,
            130 => Self::OwnerDead,
            131 => Self::NotRecoverable,
            _ => Self::Io,
        }
    }
}

numbers! {
    /// Preview 1 `clockid`.
    ClockId: u32 { Realtime = 0, Monotonic = 1, ProcessCpu = 2, ThreadCpu = 3, }
}

numbers! {
    /// Preview 1 `whence`.
    Whence: u8 { Set = 0, Cur = 1, End = 2, }
}

numbers! {
    /// Preview 1 `advice`.
    Advice: u8 { Normal = 0, Sequential = 1, Random = 2, WillNeed = 3, DontNeed = 4, NoReuse = 5, }
}

numbers! {
    /// Preview 1 `filetype`.
    FileType: u8 {
        Unknown = 0, BlockDevice = 1, CharacterDevice = 2, Directory = 3, RegularFile = 4, SocketDgram = 5,
        SocketStream = 6, SymbolicLink = 7,
    }
}

numbers! {
    /// Tag of the preview 1 types `subscription_u` and `event`.
    EventType: u8 { Clock = 0, FdRead = 1, FdWrite = 2, }
}

/// Bits of preview 1 `fdflags`.
pub mod fdflags {
    /// Writes append to the file.
    pub const APPEND: u32 = 1 << 0;
    /// Writes return once the data is on the device.
    pub const DSYNC: u32 = 1 << 1;
    /// Calls do not block.
    pub const NONBLOCK: u32 = 1 << 2;
    /// Reads wait until pending writes are on the device.
    pub const RSYNC: u32 = 1 << 3;
    /// Writes return once data and metadata are on the device.
    pub const SYNC: u32 = 1 << 4;
    /// All flags.
    pub const ALL: u32 = APPEND | DSYNC | NONBLOCK | RSYNC | SYNC;
}

/// Set of preview 1 `fdflags`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FdFlags(u16);

impl FdFlags {
    /// Returns the flags in `bits`, if they are all known.
    #[must_use]
    pub fn from_raw(bits: u16) -> Option<Self> {
        (u32::from(bits) & !fdflags::ALL == 0).then_some(Self(bits))
    }

    /// Converts Linux open flags (`asm-generic/fcntl.h`).
    #[must_use]
    pub fn from_linux(flags: u32) -> Self {
        let mut bits = 0;
        if flags & 0o2000 != 0 {
            bits |= fdflags::APPEND;
        }
        if flags & 0o4000 != 0 {
            bits |= fdflags::NONBLOCK;
        }
        if flags & 0o10000 != 0 {
            bits |= fdflags::DSYNC;
        }
        if flags & 0o4_000_000 != 0 {
            bits |= fdflags::SYNC | fdflags::RSYNC;
        }
        Self(u16::try_from(bits).unwrap_or(0))
    }

    /// Returns the preview 1 bits.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }
}

/// Preview 1 `rights`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(u64);

macro_rules! define_rights {
    ($($name:ident = $bit:literal;)*) => {
        #[expect(missing_docs, reason = "names of the specification")]
        impl Rights {
            $(pub const $name: Self = Self(1 << $bit);)*
        }

        impl Rights {
            /// All rights of preview 1.
            pub const ALL: Self = Self(0 $(| 1 << $bit)*);
        }
    };
}

rights::rights!(define_rights);

impl Rights {
    /// Rights of regular files and sockets that a directory never has.
    pub const NOT_OF_DIRECTORIES: Self = Self::FD_READ
        .with(Self::FD_SEEK)
        .with(Self::FD_TELL)
        .with(Self::FD_WRITE)
        .with(Self::FD_ADVISE)
        .with(Self::FD_ALLOCATE)
        .with(Self::FD_FILESTAT_SET_SIZE)
        .with(Self::SOCK_SHUTDOWN)
        .with(Self::SOCK_ACCEPT);
    /// No rights.
    pub const NONE: Self = Self(0);

    /// Returns the rights in `bits`, if they are all known.
    #[must_use]
    pub fn from_raw(bits: u64) -> Option<Self> {
        (bits & !Self::ALL.0 == 0).then_some(Self(bits))
    }

    /// Returns the known rights in `bits`. Programs request all rights by setting all bits.
    #[must_use]
    pub fn from_raw_known(bits: u64) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// Returns the preview 1 bits.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Returns true if all of `others` are among these rights.
    #[must_use]
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Returns true if any of `others` is among these rights.
    #[must_use]
    pub fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Returns the rights that are in both sets.
    #[must_use]
    pub const fn both(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Returns the rights that are not in `others`.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Returns the rights that are in either set.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

/// Preview 1 `lookupflags`: a symbolic link at the end of a path is followed.
pub const LOOKUP_SYMLINK_FOLLOW: u32 = 1 << 0;

/// Bits of preview 1 `oflags`.
pub mod oflags {
    #![expect(missing_docs, reason = "names of the specification")]

    pub const CREAT: u32 = 1 << 0;
    pub const DIRECTORY: u32 = 1 << 1;
    pub const EXCL: u32 = 1 << 2;
    pub const TRUNC: u32 = 1 << 3;
}

/// Bits of preview 1 `fstflags`.
pub mod fstflags {
    #![expect(missing_docs, reason = "names of the specification")]

    pub const ATIM: u32 = 1 << 0;
    pub const ATIM_NOW: u32 = 1 << 1;
    pub const MTIM: u32 = 1 << 2;
    pub const MTIM_NOW: u32 = 1 << 3;
}

/// Bits of preview 1 `riflags`, `roflags` and `sdflags`.
pub mod socket {
    /// `riflags`: received data stays in the queue.
    pub const RECV_PEEK: u32 = 1 << 0;
    /// `riflags`: wait until the buffer is full.
    pub const RECV_WAITALL: u32 = 1 << 1;
    /// `roflags`: the message was longer than the buffer.
    pub const RECV_DATA_TRUNCATED: u16 = 1 << 0;
    /// `sdflags`: disables receiving.
    pub const SHUT_RD: u32 = 1 << 0;
    /// `sdflags`: disables sending.
    pub const SHUT_WR: u32 = 1 << 1;
}

/// Values of preview 1 `signal` that differ from Linux's numbers or have no counterpart there, see
/// the [definition](https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md#signal).
pub mod signal {
    #![expect(missing_docs, reason = "names of the specification")]

    pub const NONE: u32 = 0;
    pub const CHLD: u32 = 16;
    pub const CONT: u32 = 17;
    pub const STOP: u32 = 18;
    pub const TSTP: u32 = 19;
    pub const TTIN: u32 = 20;
    pub const TTOU: u32 = 21;
    pub const URG: u32 = 22;
    pub const WINCH: u32 = 27;
    pub const SYS: u32 = 30;
}
