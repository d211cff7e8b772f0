// SPDX-License-Identifier: GPL-2.0

//! File descriptors for kernel objects: modules and instances.
//!
//! C header: [`include/linux/anon_inodes.h`](srctree/include/linux/anon_inodes.h)

use crate::{
    bindings,
    ioctl::Argument,
    watch::{
        self,
        Sink,
        COUNTERS, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings::{
        file_operations,
        O_CLOEXEC,
        O_RDWR, //
    },
    error::{
        from_err_ptr,
        to_result, //
    },
    fs::{
        file::FileDescriptorReservation,
        File, //
    },
    mm::virt::VmaNew,
    module::this_module,
    prelude::*,
    seq_file::SeqFile,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable, //
};

/// Object behind file descriptors. Its file holds one reference to it, which closing the last
/// descriptor drops.
pub(crate) trait AnonFile: Send + Sync + Sized + 'static {
    /// Name of the file in `/proc/PID/fd`.
    const NAME: &'static CStr;

    /// Set if [`AnonFile::mmap`] is implemented.
    const MAPS: bool = false;

    /// Handles an ioctl on the file.
    ///
    /// # Errors
    ///
    /// `ENOTTY` for an unknown command; errors of the command.
    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize>;

    /// Maps the object to `vma`.
    ///
    /// # Errors
    ///
    /// `ENODEV` if it cannot be mapped.
    fn mmap(&self, _vma: &VmaNew) -> Result {
        Err(ENODEV)
    }

    /// Called when the last descriptor is closed, before the file's reference is dropped.
    fn close(_this: ArcBorrow<'_, Self>) {}

    /// Passes the counters of the object to `sink`, for `KWASMI_IOC_COUNTERS` and fdinfo.
    ///
    /// # Errors
    ///
    /// The errors of `sink`.
    fn list_counters(&self, sink: Sink<'_>) -> Result;
}

/// File operations for objects of type `T`.
struct Operations<T>(PhantomData<T>);

impl<T: AnonFile> Operations<T> {
    const VTABLE: file_operations = file_operations {
        owner: this_module::<crate::LocalModule>().as_ptr(),
        release: Some(Self::release),
        unlocked_ioctl: Some(Self::ioctl),
        compat_ioctl: kernel::bindings::compat_ptr_ioctl,
        show_fdinfo: Some(Self::show_fdinfo),
        mmap: if T::MAPS { Some(Self::mmap) } else { None },
        ..pin_init::zeroed()
    };

    /// Drops the file's reference to the object.
    ///
    /// # Safety
    ///
    /// `file` must be a file that [`install`] created for `T`, and must be in its release.
    unsafe extern "C" fn release(
        _inode: *mut kernel::bindings::inode,
        file: *mut kernel::bindings::file,
    ) -> c_int {
        // SAFETY: `file` is valid by this function's safety requirement.
        let private = unsafe { (*file).private_data };
        // SAFETY: `from_foreign` requires a pointer of `into_foreign` that nothing borrows:
        // `install` stored one for `T`, and no ioctl is active on a file in its release.
        let object = unsafe { Arc::<T>::from_foreign(private) };
        T::close(object.as_arc_borrow());
        0
    }

    /// Passes an ioctl on to the object.
    ///
    /// # Safety
    ///
    /// `file` must be a file that [`install`] created for `T`, and must stay open during the call.
    unsafe extern "C" fn ioctl(
        file: *mut kernel::bindings::file,
        cmd: c_uint,
        arg: c_ulong,
    ) -> c_long {
        // SAFETY: `file` is valid by this function's safety requirement.
        let private = unsafe { (*file).private_data };
        // SAFETY: `borrow` requires a pointer of `into_foreign` that is not converted back during
        // the borrow: `install` stored one for `T`, and `release` converts it back only after the
        // last ioctl.
        let this = unsafe { Arc::<T>::borrow(private) };
        let result = match cmd {
            COUNTERS => watch::list(&Argument::new(arg), |sink| this.list_counters(sink)),
            _ => T::ioctl(this, cmd, arg),
        };
        match result {
            Ok(value) => value as c_long,
            Err(error) => error.to_errno() as c_long,
        }
    }

    /// Maps the object to memory of a process.
    ///
    /// # Safety
    ///
    /// `file` must be a file that [`install`] created for `T`, and must stay open during the call.
    /// `vma` must be undergoing its initial setup.
    unsafe extern "C" fn mmap(
        file: *mut kernel::bindings::file,
        vma: *mut kernel::bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: `file` is valid by this function's safety requirement.
        let private = unsafe { (*file).private_data };
        // SAFETY: `borrow` requires a pointer of `into_foreign` that is not converted back during
        // the borrow: `install` stored one for `T`, and `release` converts it back only after the
        // file is closed.
        let this = unsafe { Arc::<T>::borrow(private) };
        // SAFETY: `vma` is undergoing its initial setup by this function's safety requirement.
        let vma = unsafe { VmaNew::from_raw(vma) };
        match this.mmap(vma) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }

    /// Prints the counters of the object in `/proc/PID/fdinfo/FD`.
    ///
    /// # Safety
    ///
    /// `seq` must be valid and not accessed otherwise during the call. `file` must be a file that
    /// [`install`] created for `T`, and must stay open during the call.
    unsafe extern "C" fn show_fdinfo(
        seq: *mut kernel::bindings::seq_file,
        file: *mut kernel::bindings::file,
    ) {
        // SAFETY: `file` is valid by this function's safety requirement.
        let private = unsafe { (*file).private_data };
        // SAFETY: `borrow` requires a pointer of `into_foreign` that is not converted back during
        // the borrow: `install` stored one for `T`, and `release` converts it back only after the
        // last reference to the file is dropped.
        let this = unsafe { Arc::<T>::borrow(private) };
        // SAFETY: `seq` is valid and not accessed otherwise by this function's safety requirement.
        let seq = unsafe { SeqFile::from_raw(seq) };
        watch::show(seq, |sink| this.list_counters(sink));
    }
}

/// Creates a close-on-exec descriptor for `object` in the current process. Returns its number.
///
/// # Errors
///
/// `EMFILE` if the process has too many descriptors; `ENFILE` if the system has too many files;
/// `ENOMEM`.
pub(crate) fn install<T: AnonFile>(object: Arc<T>) -> Result<isize> {
    let reservation = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
    let number = reservation.reserved_fd();
    let private = object.into_foreign();
    // SAFETY: `anon_inode_getfile` requires a NUL-terminated name and operations that outlive the
    // file, which are both static, the latter with this module as their owner. The operations
    // accept `private`.
    let file = from_err_ptr(unsafe {
        bindings::anon_inode_getfile(
            kernel::str::as_char_ptr_in_const_context(T::NAME),
            &Operations::<T>::VTABLE,
            private,
            O_RDWR as c_int,
        )
    });
    let file = match file {
        Ok(file) => file,
        Err(error) => {
            // SAFETY: `from_foreign` requires a pointer of `into_foreign`: `private` is one, and no
            // file was created that could use it.
            drop(unsafe { Arc::<T>::from_foreign(private) });
            return Err(error);
        }
    };
    let file = NonNull::new(file.cast::<File>()).ok_or(ENOMEM)?;
    // SAFETY: `from_raw` requires a reference that it takes over, which `anon_inode_getfile`
    // returned, and that no `fdget_pos` call is active on the file, which is new.
    let file = unsafe { ARef::from_raw(file) };
    reservation.fd_install(file);
    Ok(number as isize)
}

/// Creates a close-on-exec descriptor for `file` in the current process, which gets it from another
/// one. Returns its number.
///
/// # Errors
///
/// `EMFILE` if the process has too many descriptors; the error of the security module that refuses
/// it the file.
pub(crate) fn install_file(file: &File) -> Result<isize> {
    // SAFETY: `receive_fd` requires a valid file, to which it takes a reference of its own, and
    // accepts a null pointer in place of an address for the number.
    let number =
        unsafe { kernel::bindings::receive_fd(file.as_ptr(), core::ptr::null_mut(), O_CLOEXEC) };
    to_result(number)?;
    Ok(number as isize)
}
