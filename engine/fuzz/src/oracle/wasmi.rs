// SPDX-License-Identifier: GPL-2.0

//! wasmi with the patches of the engine, run without slices.

use super::{
    End,
    Ended,
    Left, //
};
use std::collections::BTreeMap;
use wasmi::{
    AsContext,
    CompilationMode,
    Config,
    Engine,
    Error,
    Extern,
    Instance,
    Linker,
    Module,
    Nullable,
    Ref,
    Store,
    TrapCode,
    Val, //
};

/// Runs a program without imports.
pub(crate) fn run(wasm: &[u8], fuel: u64) -> Ended {
    let mut config = Config::default();
    config.consume_fuel(true).compilation_mode(CompilationMode::Eager);
    let engine = Engine::new(&config);
    let module = match Module::new(&engine, wasm) {
        Ok(module) => module,
        Err(error) => panic!("wasmi: {error}"),
    };
    let mut store = Store::new(&engine, ());
    store.set_fuel(fuel).expect("fuel is enabled");
    let instance = match Linker::new(&engine).instantiate_and_start(&mut store, &module) {
        Ok(instance) => instance,
        Err(error) => return end(&error, End::Failed).into(),
    };
    let before = store.get_fuel().expect("fuel is enabled");
    let function = instance.get_func(&store, "_start").expect("an exported _start");
    let end = match function.call(&mut store, &[], &mut []) {
        Ok(()) => End::Finished,
        Err(error) => end(&error, End::Trapped),
    };
    let after = store.get_fuel().expect("fuel is enabled");
    // Fuel of a start function cannot be separated, so the fuel is not compared.
    let fuel = (before == fuel).then(|| before - after);
    Ended { end, fuel, left: left(&store, instance) }
}

fn end(error: &Error, otherwise: fn(String) -> End) -> End {
    match error.as_trap_code() {
        Some(
            TrapCode::OutOfFuel
            | TrapCode::StackOverflow
            | TrapCode::OutOfSystemMemory
            | TrapCode::GrowthOperationLimited,
        ) => End::NotComparable,
        _ => otherwise(error.to_string()),
    }
}

/// Returns the final contents of the exports.
pub(crate) fn left<T: 'static>(store: &Store<T>, instance: Instance) -> BTreeMap<String, Left> {
    let holds = |export: Extern| {
        Some(match export {
            Extern::Func(_) => return None,
            Extern::Global(global) => Left::Global(match global.get(store) {
                Val::I32(value) => u128::from(value.cast_unsigned()),
                Val::I64(value) => value.cast_unsigned().into(),
                Val::F32(value) => u128::from(value.to_bits()),
                Val::F64(value) => value.to_bits().into(),
                Val::V128(value) => value.as_u128(),
                Val::FuncRef(value) => u128::from(value.is_null()),
                Val::ExternRef(value) => u128::from(value.is_null()),
            }),
            Extern::Table(table) => Left::Table(
                (0..table.size(store))
                    .map(|index| {
                        matches!(table.get(store, index), Some(Ref::Func(Nullable::Null) | Ref::Extern(Nullable::Null)))
                    })
                    .collect(),
            ),
            Extern::Memory(memory) => Left::Memory(memory.data(store.as_context()).to_vec()),
        })
    };
    let exports = instance.exports(store);
    exports.filter_map(|export| Some((export.name().to_owned(), holds(export.into_extern())?))).collect()
}
