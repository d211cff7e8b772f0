// SPDX-License-Identifier: GPL-2.0

//! Objects behind file descriptors of their own: modules and instances.
//!
//! C header: [`include/linux/anon_inodes.h`](srctree/include/linux/anon_inodes.h)

use crate::bindings;
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
    error::from_err_ptr,
    fs::{
        file::FileDescriptorReservation,
        File, //
    },
    module::this_module,
    prelude::*,
    sync::{
        aref::ARef,
        Arc,
        ArcBorrow, //
    },
    types::ForeignOwnable, //
};

/// An object that file descriptors stand for. The last one that is closed drops it, unless it is kept otherwise.
pub(crate) trait AnonFile: Send + Sync + Sized + 'static {
    /// What `/proc/PID/fd` shows it as.
    const NAME: &'static CStr;

    /// An ioctl.
    ///
    /// # Errors
    ///
    /// `ENOTTY` for an unknown command, and the command's own.
    fn ioctl(this: ArcBorrow<'_, Self>, cmd: u32, arg: usize) -> Result<isize>;
}

/// The file operations for `T`.
struct Operations<T>(PhantomData<T>);

impl<T: AnonFile> Operations<T> {
    const VTABLE: file_operations = file_operations {
        owner: this_module::<crate::LocalModule>().as_ptr(),
        release: Some(Self::release),
        unlocked_ioctl: Some(Self::ioctl),
        compat_ioctl: kernel::bindings::compat_ptr_ioctl,
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `file` was made by [`install`] for `T`, and is being released.
    unsafe extern "C" fn release(_inode: *mut kernel::bindings::inode, file: *mut kernel::bindings::file) -> c_int {
        // SAFETY: The file is valid while it is released.
        let private = unsafe { (*file).private_data };
        // SAFETY: `install` put an `Arc<T>` there, and nobody uses the file any more.
        drop(unsafe { Arc::<T>::from_foreign(private) });
        0
    }

    /// # Safety
    ///
    /// `file` was made by [`install`] for `T`, and stays open during the call.
    unsafe extern "C" fn ioctl(file: *mut kernel::bindings::file, cmd: c_uint, arg: c_ulong) -> c_long {
        // SAFETY: The file is valid during the call.
        let private = unsafe { (*file).private_data };
        // SAFETY: `install` put an `Arc<T>` there, and the file keeps it.
        let this = unsafe { Arc::<T>::borrow(private) };
        match T::ioctl(this, cmd, arg) {
            Ok(value) => value as c_long,
            Err(error) => error.to_errno() as c_long,
        }
    }
}

/// Makes a descriptor of the current process for `object`, and returns its number.
///
/// # Errors
///
/// `EMFILE`, `ENFILE`, `ENOMEM`.
pub(crate) fn install<T: AnonFile>(object: Arc<T>) -> Result<isize> {
    let reservation = FileDescriptorReservation::get_unused_fd_flags(O_CLOEXEC)?;
    let number = reservation.reserved_fd();
    let private = object.into_foreign();
    // SAFETY: The name and the operations are static; the latter expect what `private` is.
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
            // SAFETY: No file took it over.
            drop(unsafe { Arc::<T>::from_foreign(private) });
            return Err(error);
        }
    };
    let file = NonNull::new(file.cast::<File>()).ok_or(ENOMEM)?;
    // SAFETY: `anon_inode_getfile` gave us a reference, and the file is not in use by any `fdget_pos` call.
    let file = unsafe { ARef::from_raw(file) };
    reservation.fd_install(file);
    Ok(number as isize)
}
