// SPDX-License-Identifier: GPL-2.0

//! Other engines to compare with: each runs a program in the plainest way that it has.

use std::collections::BTreeMap;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It returned.
    Finished,
    /// With a trap, in words.
    Trapped(String),
    /// It was not instantiated, or its start function did not return.
    Failed(String),
    /// In a way that differs between engines: fuel, stack, memory.
    NotComparable,
}

/// What an export holds at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// A global, and whether it is null if it is a reference.
    Global(u64),
    /// A table: which elements are null.
    Table(Vec<bool>),
    /// A memory.
    Memory(Vec<u8>),
}

impl Left {
    /// Where they are not the same, in words.
    pub(crate) fn difference(&self, other: &Self) -> String {
        match (self, other) {
            (Self::Memory(ours), Self::Memory(others)) if ours.len() == others.len() => {
                let at = ours.iter().zip(others).position(|(our, other)| our != other);
                at.map_or_else(String::new, |at| {
                    let end = ours.len().min(at + 16);
                    format!("at {at}: {:x?} and {:x?}", &ours[at..end], &others[at..end])
                })
            }
            (Self::Memory(ours), Self::Memory(others)) => format!("{} bytes and {} bytes", ours.len(), others.len()),
            _ => format!("{self:x?} and {other:x?}"),
        }
    }
}

/// How a program ended, and what it left behind.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) end: End,
    /// Fuel that it took, where that can be compared.
    pub(crate) fuel: Option<u64>,
    /// Exports by name.
    pub(crate) left: BTreeMap<String, Left>,
}

impl From<End> for Ended {
    fn from(end: End) -> Self {
        Self { end, fuel: None, left: BTreeMap::new() }
    }
}

/// A module that runs programs by a version of wasmi.
macro_rules! oracle {
    ($name:ident, $wasmi:ident, null: $null:pat, incomparable: $incomparable:pat, has_fuel: $has_fuel:expr) => {
        pub(crate) mod $name {
            use super::{End, Ended, Left};
            use std::collections::BTreeMap;
            use $wasmi::{
                AsContext, CompilationMode, Config, Engine, Error, Extern, Instance, Linker, Module, Store, Val,
            };

            /// Runs a program that has no imports.
            pub(crate) fn run(wasm: &[u8], fuel: u64) -> Ended {
                let mut config = Config::default();
                config.consume_fuel(true).compilation_mode(CompilationMode::Eager);
                let engine = Engine::new(&config);
                let module = match Module::new(&engine, wasm) {
                    Ok(module) => module,
                    Err(error) => panic!("{}: {error}", stringify!($name)),
                };
                let mut store = Store::new(&engine, ());
                store.set_fuel(fuel).expect("it is measured");
                let instance = match Linker::new(&engine).instantiate_and_start(&mut store, &module) {
                    Ok(instance) => instance,
                    Err(error) => return end(&error, End::Failed).into(),
                };
                let before = store.get_fuel().expect("it is measured");
                let function = instance.get_func(&store, "_start").expect("it is exported");
                let end = match function.call(&mut store, &[], &mut []) {
                    Ok(()) => End::Finished,
                    Err(error) => end(&error, End::Trapped),
                };
                let after = store.get_fuel().expect("it is measured");
                // A start function is not counted apart.
                let fuel = ($has_fuel && before == fuel).then(|| before - after);
                Ended { end, fuel, left: left(&store, instance) }
            }

            fn end(error: &Error, otherwise: fn(String) -> End) -> End {
                match error.as_trap_code() {
                    Some($incomparable) => End::NotComparable,
                    _ => otherwise(error.to_string()),
                }
            }

            /// What the exports hold.
            pub(crate) fn left<T: 'static>(store: &Store<T>, instance: Instance) -> BTreeMap<String, Left> {
                let holds = |export: Extern| {
                    Some(match export {
                        Extern::Func(_) => return None,
                        Extern::Global(global) => Left::Global(match global.get(store) {
                            Val::I32(value) => u64::from(value.cast_unsigned()),
                            Val::I64(value) => value.cast_unsigned(),
                            Val::F32(value) => u64::from(value.to_bits()),
                            Val::F64(value) => value.to_bits(),
                            Val::V128(_) => return None,
                            Val::FuncRef(value) => u64::from(value.is_null()),
                            Val::ExternRef(value) => u64::from(value.is_null()),
                        }),
                        Extern::Table(table) => Left::Table(
                            (0..table.size(store))
                                .map(|index| matches!(table.get(store, index), Some($null)))
                                .collect(),
                        ),
                        Extern::Memory(memory) => Left::Memory(memory.data(store.as_context()).to_vec()),
                    })
                };
                let exports = instance.exports(store);
                exports.filter_map(|export| Some((export.name().to_owned(), holds(export.into_extern())?))).collect()
            }
        }
    };
}

oracle!(
    wasmi_1,
    wasmi_1,
    null: Val::FuncRef(wasmi_1::Ref::Null) | Val::ExternRef(wasmi_1::Ref::Null),
    incomparable: wasmi_1::TrapCode::OutOfFuel
        | wasmi_1::TrapCode::StackOverflow
        | wasmi_1::TrapCode::GrowthOperationLimited,
    has_fuel: false
);
oracle!(
    wasmi_2,
    wasmi,
    null: wasmi::Ref::Func(wasmi::Nullable::Null) | wasmi::Ref::Extern(wasmi::Nullable::Null),
    incomparable: wasmi::TrapCode::OutOfFuel
        | wasmi::TrapCode::StackOverflow
        | wasmi::TrapCode::OutOfSystemMemory
        | wasmi::TrapCode::GrowthOperationLimited,
    has_fuel: true
);
