// SPDX-License-Identifier: GPL-2.0

//! Counters of modules, instances and services, for `KWASMI_IOC_COUNTERS` and for fdinfo.

mod counter_table;
#[path = "../../engine/src/wasi/table.rs"]
mod function_table;
mod module;
mod sums;

pub(crate) use self::{
    module::ModuleCounters,
    sums::CounterSums, //
};

use crate::{
    ioctl::{
        self,
        Argument, //
    },
    uapi::{
        self,
        kwasmi_counter,
        kwasmi_counters, //
    },
};
use counter_table::counter_table;
use function_table::wasi_functions;
use kernel::{
    ffi::c_char,
    prelude::*,
    seq_file::{
        seq_print,
        SeqFile, //
    }, //
};

/// `KWASMI_IOC_COUNTERS`.
pub(crate) const COUNTERS: u32 = ioctl::iowr::<kwasmi_counters>(0x96);

/// Makes the numbers and names of the counters from the table.
macro_rules! counters {
    ($(
        $counter:ident = $number:literal: $id:ident, $name:literal, $unit:ident, $kind:ident, $label:literal,
            $text:literal;
    )*) => {
        /// Number of a counter.
        #[derive(Clone, Copy)]
        pub(crate) enum CounterId {
            $(#[doc = concat!("Counter of ", $text, ".")] $counter = $number,)*
        }

        impl CounterId {
            /// Returns the name.
            fn name(self) -> &'static str {
                match self {
                    $(Self::$counter => $name,)*
                }
            }
        }

        // The numbers of the header.
        const _: () = {
            $(assert!(uapi::$id == $number);)*
        };
    };
}

counter_table!(counters);

/// Makes the list of the functions from the table.
macro_rules! functions {
    (
        $($module:literal { $(
            $id:ident = $name:ident($($param:ident: $type:ident),*) $(-> $never:tt)?
            $(needs [$($capability:ident),+])?;
        )* })*
        also $alias:literal { $(
            $alias_id:ident = $alias_name:ident($($alias_param:ident: $alias_type:ident),*)
            $(-> $alias_never:tt)? $(needs [$($alias_capability:ident),+])?;
        )* }
    ) => {
        /// Module and name of each function that guests can import, in the order of
        /// [`GuestCounters::calls`](crate::ffi::GuestCounters::calls).
        pub(crate) const FUNCTIONS: &[(&str, &str)] =
            &[$($(($module, stringify!($name)),)*)*];
    };
}

wasi_functions!(functions);

/// Size of `label` of `struct kwasmi_counter`, without the NUL.
const LABEL_MAX: usize = 47;

const _: () = {
    let mut rest = FUNCTIONS;
    while let [(module, name), others @ ..] = rest {
        assert!(module.len() + 1 + name.len() <= LABEL_MAX);
        rest = others;
    }
};

/// Value of a counter.
#[derive(Clone, Copy)]
pub(crate) struct Counter {
    id: CounterId,
    index: u32,
    value: u64,
    /// Parts of the label, joined by a point. If the first part is empty, the second is the label.
    label: (&'static str, &'static str),
}

impl Counter {
    /// Returns the value of the only counter with this number.
    pub(crate) fn new(id: CounterId, value: u64) -> Self {
        Self::labelled(id, 0, value, ("", ""))
    }

    /// Returns the value of one of several counters with this number.
    pub(crate) fn labelled(
        id: CounterId,
        index: usize,
        value: u64,
        label: (&'static str, &'static str),
    ) -> Self {
        Self {
            id,
            index: index as u32,
            value,
            label,
        }
    }

    /// Returns the counter in the form of the interface.
    fn to_user(&self) -> kwasmi_counter {
        let mut counter = kwasmi_counter {
            counter: self.id as u32,
            index: self.index,
            value: self.value,
            ..kwasmi_counter::default()
        };
        let (first, last) = self.label;
        let point = if first.is_empty() { "" } else { "." };
        let bytes = [first, point, last].into_iter().flat_map(str::bytes);
        // The last byte stays NUL.
        let places = counter.label.iter_mut().take(LABEL_MAX);
        places
            .zip(bytes)
            .for_each(|(place, byte)| *place = byte as c_char);
        counter
    }
}

/// Function that receives the counters of an object, one at a time.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Counter) -> Result;

/// Implements `KWASMI_IOC_COUNTERS`. `count` passes the counters of the object to its argument.
///
/// # Errors
///
/// `EINVAL` if a reserved field is set; `EFAULT`; errors of `count`.
pub(crate) fn list(arg: &Argument, count: impl FnOnce(Sink<'_>) -> Result) -> Result<isize> {
    let mut request: kwasmi_counters = arg.read()?;
    if request.reserved != 0 {
        return Err(EINVAL);
    }
    let mut len: u32 = 0;
    count(&mut |counter| {
        if len < request.counters_len {
            ioctl::element_to_user(request.counters, len as usize, &counter.to_user())?;
        }
        len += 1;
        Ok(())
    })?;
    request.counters_len = len;
    arg.write(&request)?;
    Ok(0)
}

/// Prints the counters of an object for fdinfo, a line each. `count` passes them to its argument.
pub(crate) fn show(file: &SeqFile, count: impl FnOnce(Sink<'_>) -> Result) {
    let shown = count(&mut |counter| {
        let name = counter.id.name();
        let value = counter.value;
        match counter.label {
            ("", "") => seq_print!(file, "{name}:\t{value}\n"),
            ("", label) => seq_print!(file, "{name}[{label}]:\t{value}\n"),
            (module, function) => seq_print!(file, "{name}[{module}.{function}]:\t{value}\n"),
        }
        Ok(())
    });
    // Printing does not fail: `seq_file` repeats the call with a larger buffer.
    let _ = shown;
}
