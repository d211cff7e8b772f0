// SPDX-License-Identifier: GPL-2.0

//! Control flow: values survive branches and merges, and locals on the stack keep their values.
//! Each test covers a defect of wasmi 2.0.0 that a patch in `engine/patches/wasmi` corrects.

mod common;

use common::{
    TestHost,
    run, //
};
use kwasmi_engine::ffi::Ending;

/// Defines a test that runs a guest, which traps if a value is wrong.
macro_rules! fixture {
    ($test:ident, $name:literal) => {
        #[test]
        fn $test() {
            let end = run(include_str!(concat!("../../guests/fixtures/", $name, ".wat")), &TestHost::default());
            assert_eq!((end.ending, end.code), (Ending::Exited, 0));
        }
    };
}

fixture!(an_if_without_else_has_its_parameters_as_results, "control-if-without-else");
fixture!(a_local_below_a_parameter_is_kept, "control-local-below-parameter");
fixture!(a_loop_puts_its_parameter_into_a_register_in_use, "control-loop-parameter");
fixture!(a_branch_table_moves_values_down, "control-br-table");
fixture!(a_select_by_a_comparison_with_zero_compares, "control-select");
fixture!(a_local_is_stored_at_its_own_address, "store-own-address");
