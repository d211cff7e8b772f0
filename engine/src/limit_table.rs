// SPDX-License-Identifier: GPL-2.0

//! The limits: the only list of them.
//!
//! The engine, the kernel module and the `kwasmi` command compile this file. They check the numbers
//! against `kmod/uapi/kwasmi.h`. A test of the command checks the ceilings of the kernel module's
//! parameters, and the table in `docs/security.md`.

/// Calls `$apply!` with the table. A row is
/// `NAME = NUMBER: HEADER'S NAME, name, UNIT, PARAMETER, default, minimum, ceiling, text`.
///
/// - UNIT is `Bytes`, `Nanoseconds` or `Count`.
/// - PARAMETER is the parameter of the kernel module that sets the ceiling.
/// - `u64::MAX` means unlimited.
/// - A minimum of 0 means that all calls share the limit: there is only a ceiling.
/// - A ceiling of 0 means half of the machine's memory.
macro_rules! limit_table {
    ($apply:ident) => {
        $apply! {
            ModuleSize = 1: KWASMI_LIMIT_MODULE_SIZE, "module-size", Bytes, module_size_max,
                128 << 20, 1, 256 << 20, "size of the module";
            Functions = 2: KWASMI_LIMIT_FUNCTIONS, "functions", Count, functions_max,
                1_000_000, 1, 1_000_000, "functions of the module";
            FunctionSize = 3: KWASMI_LIMIT_FUNCTION_SIZE, "function-size", Bytes, function_size_max,
                16 << 20, 1, 16 << 20, "code of one function";
            Locals = 4: KWASMI_LIMIT_LOCALS, "locals", Count, locals_max,
                4096, 1, 50_000, "locals of one function";
            // The time to translate a block is proportional to its arity, for each block.
            Arity = 5: KWASMI_LIMIT_ARITY, "arity", Count, arity_max,
                64, 1, 1000, "parameters or results of one function type";
            Globals = 6: KWASMI_LIMIT_GLOBALS, "globals", Count, globals_max,
                10_000, 1, 1_000_000, "globals of the module";
            DataSegments = 7: KWASMI_LIMIT_DATA_SEGMENTS, "data-segments", Count, data_segments_max,
                100_000, 1, 100_000, "data segments of the module";
            ElementSegments = 8: KWASMI_LIMIT_ELEMENT_SEGMENTS, "element-segments", Count, element_segments_max,
                10_000, 1, 100_000, "element segments of the module";
            Stack = 9: KWASMI_LIMIT_STACK, "stack", Bytes, stack_max,
                1 << 20, 4 << 10, 16 << 20, "Wasm stack: values, and 64 bytes per call";
            Code = 10: KWASMI_LIMIT_CODE, "code", Bytes, code_max,
                512 << 20, 1, 4 << 30, "engine memory for the translated module";
            Memory = 11: KWASMI_LIMIT_MEMORY, "memory", Bytes, memory_max,
                256 << 20, 1, 4 << 30, "linear memory";
            Table = 12: KWASMI_LIMIT_TABLE, "table", Count, table_max,
                1_000_000, 1, 10_000_000, "elements of all tables";
            // A linear memory that grows is copied: the default leaves room for three times the
            // default of "memory".
            Heap = 13: KWASMI_LIMIT_HEAP, "heap", Bytes, heap_max,
                1 << 30, 1, 16 << 30, "engine memory for the guest, linear memory included";
            Fds = 14: KWASMI_LIMIT_FDS, "fds", Count, fds_max,
                1024, 1, 1024, "open descriptors";
            Fuel = 15: KWASMI_LIMIT_FUEL, "fuel", Count, fuel_max,
                u64::MAX, 1, u64::MAX, "about one unit per instruction";
            Time = 16: KWASMI_LIMIT_TIME, "time", Nanoseconds, time_max,
                u64::MAX, 1, u64::MAX, "real time";
            CpuTime = 17: KWASMI_LIMIT_CPU_TIME, "cpu-time", Nanoseconds, cpu_time_max,
                u64::MAX, 1, u64::MAX, "CPU time";
            TotalHeap = 18: KWASMI_LIMIT_TOTAL_HEAP, "total-heap", Bytes, total_heap_max,
                u64::MAX, 0, 0, "engine memory of all modules and guests";
            TotalModules = 19: KWASMI_LIMIT_TOTAL_MODULES, "total-modules", Count, total_modules_max,
                u64::MAX, 0, 4096, "loaded modules";
            TotalInstances = 20: KWASMI_LIMIT_TOTAL_INSTANCES, "total-instances", Count, total_instances_max,
                u64::MAX, 0, 4096, "instances of all users";
            TotalRunning = 21: KWASMI_LIMIT_TOTAL_RUNNING, "total-running", Count, total_running_max,
                u64::MAX, 0, 1024, "tasks in the engine";
            UserInstances = 22: KWASMI_LIMIT_USER_INSTANCES, "user-instances", Count, user_instances_max,
                u64::MAX, 0, 1024, "instances of one user";
            UserRunning = 23: KWASMI_LIMIT_USER_RUNNING, "user-running", Count, user_running_max,
                u64::MAX, 0, 256, "tasks in the engine for instances of one user";
        }
    };
}

pub(crate) use limit_table;
