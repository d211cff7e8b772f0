// SPDX-License-Identifier: GPL-2.0

//! Echo server for several connections, which waits for all of them in one call.

use crate::{
    World,
    sockets::listening,
    sys::{
        self,
        Result, //
    },
};
use core::cell::Cell;
use kwasmi_batch::{
    Errno as Failure,
    Op,
    wait, //
};

const BUFFER: usize = 4096;

/// Serves `number` connections until they are closed.
pub(crate) fn serve(world: &World, number: usize) -> Result {
    let listener = listening();
    world.scratch.write("listening", b"")?;
    let mut memory = vec![0; number * BUFFER];
    let cells = Cell::from_mut(memory.as_mut_slice()).as_slice_of_cells();
    let buffers: Vec<_> = cells.chunks(BUFFER).collect();
    // The listening socket at index 0, then the connections.
    let mut ops = vec![Op::accept(listener, 0)];
    let (mut open, mut accepted, mut answers) = (0, 0, 0);
    let mut completed = [0; 16];
    while ops.len() <= number || open > 0 {
        let count = match wait(&mut ops, None, &mut completed) {
            Ok(count) => count,
            Err(failure) => {
                println!("FAILED: {failure}");
                return Ok(());
            }
        };
        for index in completed.iter().take(count) {
            let index = *index as usize;
            let Some(op) = ops.get(index) else { continue };
            let (result, fd) = (op.result(), op.user as u32);
            if index == 0 {
                let Some(buffer) = buffers.get(ops.len() - 1) else { continue };
                let Ok(fd) = result else { return sys::fd_close(listener) };
                let mut first = Op::exchange_cells(fd as u32, &[], buffer);
                first.user = fd;
                ops.push(first);
                open += 1;
                accepted += 1;
                match ops.first_mut() {
                    Some(accept) if accepted < number => accept.arm(),
                    _ => {}
                }
                continue;
            }
            let (Some(op), Some(buffer)) = (ops.get_mut(index), buffers.get(index - 1)) else { continue };
            match result {
                Ok(len @ 1..) => {
                    let said = buffer.get(..len as usize).unwrap_or_default();
                    let user = op.user;
                    *op = Op::exchange_cells(fd, said, buffer);
                    op.user = user;
                    answers += 1;
                }
                Ok(0) | Err(Failure(_)) => {
                    *op = Op::nop();
                    sys::fd_close(fd)?;
                    open -= 1;
                }
            }
        }
    }
    println!("{number} connections, {answers} answers");
    sys::fd_close(listener)
}
