// SPDX-License-Identifier: GPL-2.0

//! wasmtime with the Cranelift compiler.

use super::{
    End,
    Ended,
    Left, //
};
use std::{
    collections::BTreeMap,
    sync::LazyLock, //
};
use wasmtime::{
    Collector,
    Config,
    Engine,
    Error,
    Extern,
    Instance,
    Module,
    OptLevel,
    Ref,
    Store,
    Tag,
    ThrownException,
    Trap,
    Val, //
};

/// Engine for small programs that run once: compiles fast and installs no signal handlers, because
/// the fuzzer has its own.
static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .collector(Collector::Null)
        .cranelift_opt_level(OptLevel::None)
        .memory_reservation(0)
        .memory_guard_size(0)
        .memory_init_cow(false)
        .signals_based_traps(false)
        .wasm_backtrace_max_frames(None)
        .wasm_multi_memory(true)
        .wasm_tail_call(true)
        .relaxed_simd_deterministic(true)
        .wasm_extended_const(true)
        .wasm_exceptions(true);
    Engine::new(&config).expect("a configuration for this machine")
});

/// Runs a program without imports.
pub(crate) fn run(wasm: &[u8], fuel: u64) -> Ended {
    let module = match Module::new(&ENGINE, wasm) {
        Ok(module) => module,
        Err(error) => panic!("wasmtime: {error:?}"),
    };
    let mut store = Store::new(&ENGINE, ());
    store.set_fuel(fuel).expect("fuel is enabled");
    let instance = match Instance::new(&mut store, &module, &[]) {
        Ok(instance) => instance,
        Err(error) => return end(&error, End::Failed).into(),
    };
    let function = instance.get_func(&mut store, "_start").expect("an exported _start");
    let end = match function.call(&mut store, &[], &mut []) {
        Ok(()) => End::Finished,
        Err(error) if error.is::<ThrownException>() => uncaught(&mut store, instance),
        Err(error) => end(&error, End::Trapped),
    };
    Ended { end, fuel: None, left: left(&mut store, instance) }
}

fn end(error: &Error, otherwise: fn(String) -> End) -> End {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel | Trap::StackOverflow) => End::NotComparable,
        // The words of this engine's compiled code.
        Some(Trap::NullReference) => otherwise("null exception reference".to_owned()),
        Some(trap) => {
            let words = trap.to_string();
            otherwise(words.strip_prefix("wasm trap: ").unwrap_or(&words).to_owned())
        }
        None => otherwise(error.to_string()),
    }
}

/// Returns the end of a program that threw an exception which nothing caught.
fn uncaught(store: &mut Store<()>, instance: Instance) -> End {
    let exception = store.take_pending_exception().expect("an exception");
    let thrown = exception.tag(&mut *store).expect("an exception of this store");
    let tags: Vec<_> = instance
        .exports(&mut *store)
        .filter_map(|export| Some((export.name().to_owned(), export.into_extern().into_tag()?)))
        .collect();
    let name = tags.into_iter().find(|(_, tag)| Tag::eq(tag, &thrown, &*store)).map(|(name, _)| name);
    End::Trapped(super::uncaught(name.as_deref()))
}

/// Returns the final contents of the exports.
fn left(store: &mut Store<()>, instance: Instance) -> BTreeMap<String, Left> {
    let exports: Vec<_> =
        instance.exports(&mut *store).map(|export| (export.name().to_owned(), export.into_extern())).collect();
    let mut holds = |export: Extern| {
        Some(match export {
            Extern::Global(global) => Left::Global(match global.get(&mut *store) {
                Val::I32(value) => u128::from(value.cast_unsigned()),
                Val::I64(value) => value.cast_unsigned().into(),
                Val::F32(bits) => u128::from(bits),
                Val::F64(bits) => bits.into(),
                Val::V128(value) => value.as_u128(),
                Val::FuncRef(value) => u128::from(value.is_none()),
                Val::ExternRef(value) => u128::from(value.is_none()),
                Val::ExnRef(value) => u128::from(value.is_none()),
                _ => return None,
            }),
            Extern::Table(table) => Left::Table(
                (0..table.size(&*store))
                    .map(|index| matches!(table.get(&mut *store, index), Some(Ref::Func(None) | Ref::Extern(None))))
                    .collect(),
            ),
            Extern::Memory(memory) => Left::Memory(memory.data(&*store).to_vec()),
            _ => return None,
        })
    };
    exports.into_iter().filter_map(|(name, export)| Some((name, holds(export)?))).collect()
}
