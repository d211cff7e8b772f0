// SPDX-License-Identifier: GPL-2.0

//! Links the functions of the [table](super::table) into wasmi.

use super::{
    Stop,
    functions::{
        FunctionId,
        ValueType,
        entries, //
    },
    table::wasi_functions,
};
use crate::{
    host::Host,
    state::State, //
};
use wasmi::{
    Caller,
    Error,
    Extern,
    Linker,
    ValType,
    WasmTy, //
};

/// Function that wasmi calls for a guest: a [`WasiFunction`](super::functions::WasiFunction) with
/// the state and the error of wasmi. The memory is the guest's default memory.
type Direct<H> = fn(&mut State<H>, &mut [u8], &mut [u64]) -> Result<(), Error>;

impl From<ValueType> for ValType {
    fn from(ty: ValueType) -> Self {
        match ty {
            ValueType::I32 => Self::I32,
            ValueType::I64 => Self::I64,
        }
    }
}

/// Parameter types of a function. Functions of the same types share the code that links them.
trait Parameters {
    /// Defines the function `name` of `module`. With `is_direct`, wasmi calls `direct` itself.
    fn link<H: Host + 'static>(
        linker: &mut Linker<State<H>>,
        name: (&str, &str),
        direct: Direct<H>,
        is_direct: bool,
    ) -> Result<(), Error>;
}

macro_rules! parameters {
    ($($type:ident)*) => {
        #[allow(non_snake_case, reason = "a parameter has the name of its type")]
        impl<$($type: WasmTy + Into<u64>),*> Parameters for ($($type,)*) {
            fn link<H: Host + 'static>(
                linker: &mut Linker<State<H>>,
                (module, name): (&str, &str),
                direct: Direct<H>,
                is_direct: bool,
            ) -> Result<(), Error> {
                let closure = move |caller: Caller<'_, State<H>>, $($type: $type),*| {
                    // One more cell, for the result of a function without parameters.
                    call(caller, direct, [$($type.into(),)* 0].as_mut_slice())
                };
                if is_direct {
                    linker.func_wrap_direct(module, name, closure, direct)?;
                } else {
                    linker.func_wrap(module, name, closure)?;
                }
                Ok(())
            }
        }
    };
}

parameters!();
parameters!(A);
parameters!(A B);
parameters!(A B C);
parameters!(A B C D);
parameters!(A B C D E);
parameters!(A B C D E F);
parameters!(A B C D E F G);
parameters!(A B C D E F G I);
parameters!(A B C D E F G I J);

/// Calls a function for a guest; returns its `errno`.
fn call<H: Host + 'static>(
    mut caller: Caller<'_, State<H>>,
    direct: Direct<H>,
    cells: &mut [u64],
) -> Result<u32, Error> {
    let memory = match caller.data().memory {
        Some(memory) => Some(memory),
        None => {
            let memory = caller.get_export("memory").and_then(Extern::into_memory);
            caller.data_mut().memory = memory;
            memory
        }
    };
    let (bytes, state) = match memory {
        Some(memory) => memory.data_and_store_mut(&mut caller),
        None => ([].as_mut_slice(), caller.data_mut()),
    };
    direct(state, bytes, cells)?;
    Ok(super::calls::errno(cells).into())
}

/// Links one row of the table.
macro_rules! link_row {
    ($linker:ident, $is_direct:ident, $module:literal, $id:ident = $name:ident($($type:ident),*)) => {
        <($($type,)*)>::link($linker, ($module, stringify!($name)), direct::$id, $is_direct)?;
    };
    ($linker:ident, $is_direct:ident, $module:literal, $id:ident = $name:ident($($type:ident),*) -> !) => {
        // wasmi has an error of its own for an exit.
        $linker.func_wrap($module, stringify!($name), |mut caller: Caller<'_, State<H>>, status: u32| {
            match FunctionId::$id.entry()(&mut caller.data_mut().wasi, &mut [], &mut [status.into()]) {
                Err(Stop::Exit(status)) => Err(Error::i32_exit(status.cast_signed())),
                Err(stop) => Err(Error::host(stop)),
                Ok(()) => Ok(()),
            }
        })?;
    };
}

/// Defines the function of one row that wasmi calls itself, if it returns.
macro_rules! direct {
    ($id:ident) => {
        pub(super) fn $id<H: Host + 'static>(
            state: &mut State<H>,
            memory: &mut [u8],
            cells: &mut [u64],
        ) -> Result<(), Error> {
            entries::$id(&mut state.wasi, memory, cells).map_err(Error::host)
        }
    };
    ($id:ident -> !) => {};
}

macro_rules! link {
    (
        $($module:literal { $(
            $id:ident = $name:ident($($param:ident: $type:ident),*) $(-> $never:tt)? $(needs [$($capability:ident),+])?;
        )* })*
        also $alias:literal { $(
            $alias_id:ident = $alias_name:ident($($alias_param:ident: $alias_type:ident),*) $(-> $alias_never:tt)?
            $(needs [$($alias_capability:ident),+])?;
        )* }
    ) => {
        /// Functions that wasmi calls itself.
        mod direct {
            use super::*;

            $($(direct!($id $(-> $never)?);)*)*
        }

        /// Defines all functions. With `is_direct`, they use the guest's default memory as the one
        /// that it exports as `memory`, and wasmi calls them with less code in between.
        pub(crate) fn link<H: Host + 'static>(linker: &mut Linker<State<H>>, is_direct: bool) -> Result<(), Error> {
            $($(link_row!(linker, is_direct, $module, $id = $name($($type),*) $(-> $never)?);)*)*
            $(link_row!(linker, is_direct, $alias, $alias_id = $alias_name($($alias_type),*) $(-> $alias_never)?);)*
            Ok(())
        }
    };
}

wasi_functions!(link);
