// SPDX-License-Identifier: GPL-2.0

//! Mutations of compiled code, and runs of it in the simulator.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses some of it")]
#![allow(clippy::cast_possible_truncation, reason = "random numbers")]

use kwasmi_engine::{
    compiled::{
        instance::CompiledInstance,
        program::Program,
        simulator::{
            Imports,
            SimulationEnd,
            Simulator,
            Stress, //
        },
    },
    compiler::Compiled,
    ebpf::{
        Insn,
        Reg, //
    },
    vmctx::{
        Claim,
        Fact,
        Function,
        Location, //
    },
};

/// Random numbers: those of an input, then xorshift.
pub struct Random<'a> {
    state: u64,
    input: &'a [u8],
}

impl<'a> Random<'a> {
    /// The numbers of `input`, then those of `seed`.
    pub fn new(seed: u64, input: &'a [u8]) -> Self {
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, input }
    }

    /// Set if the input is used up.
    pub fn is_used_up(&self) -> bool {
        self.input.is_empty()
    }

    pub fn next(&mut self) -> u64 {
        if let Some((number, rest)) = self.input.split_first_chunk() {
            self.input = rest;
            return u32::from_le_bytes(*number).into();
        }
        self.input = &[];
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len())).copied()
    }

    fn number(&mut self) -> u64 {
        const NUMBERS: &[u64] =
            &[0, 1, 2, 4, 7, 8, 9, 65528, 65532, 65535, 65536, 131_064, 1 << 20, u32::MAX as u64, 1 << 32, u64::MAX];
        match self.below(4) {
            0 => self.next() & 0xffff,
            1 => self.next() << 11 ^ self.next(),
            2 => 1 << self.below(64),
            _ => self.pick(NUMBERS).unwrap_or(0),
        }
    }

    fn reg(&mut self) -> Reg {
        Reg(self.below(11) as u8)
    }
}

/// Changes one thing.
pub fn mutate(function: &mut Function, random: &mut Random<'_>) {
    let at = random.below(function.code.len());
    let other = random.below(function.code.len());
    let Some(insn) = function.code.get(at).copied() else { return };
    let changed = match random.below(17) {
        // Leave the instruction out, or have one from elsewhere in its place.
        0..=2 => Insn::new(5, Reg(0), Reg(0), 0, 0),
        3 => function.code[other],
        4 => {
            function.code.swap(at, other);
            return;
        }
        5 => {
            function.code.insert(at, function.code[other]);
            return;
        }
        6 => {
            function.code.remove(at);
            if function.code.is_empty() {
                function.code.push(insn);
            }
            return;
        }
        7 => Insn { code: function.code[other].code, ..insn },
        // The other width.
        15 => Insn { code: insn.code ^ 3, ..insn },
        8 => Insn { code: insn.code ^ 1 << random.below(8), ..insn },
        9 => Insn { regs: insn.regs & 0xf0 | random.reg().0, ..insn },
        10 => Insn { regs: insn.regs & 0x0f | random.reg().0 << 4, ..insn },
        11 => {
            let steps = [1, -1, 4, -4, 8, -8, 7, 16, 256, -2];
            Insn { off: insn.off.wrapping_add(random.pick(&steps).unwrap_or(1)), ..insn }
        }
        12 => Insn { off: if random.one_in(2) { function.code[other].off } else { random.number() as i16 }, ..insn },
        13 => Insn { imm: insn.imm.wrapping_add(random.pick(&[1, -1, 8, -8]).unwrap_or(1)), ..insn },
        14 => Insn { imm: if random.one_in(2) { function.code[other].imm } else { random.number() as i32 }, ..insn },
        _ => {
            claims(function, random);
            return;
        }
    };
    function.code[at] = changed;
}

/// Changes a claim, or the size of the frame.
fn claims(function: &mut Function, random: &mut Random<'_>) {
    if random.one_in(8) {
        function.frame = function.frame.wrapping_add_signed(random.pick(&[8, -8, 1024, 2048]).unwrap_or(8));
        return;
    }
    let bytes = random.number() as u32;
    let fact = random
        .pick(&[
            Fact::U32,
            Fact::Index { memory: 0, bytes, is_masked: false },
            Fact::Index { memory: 1, bytes, is_masked: false },
            Fact::Index { memory: 0, bytes, is_masked: true },
            Fact::Index { memory: 1, bytes, is_masked: true },
            Fact::Base { memory: 0 },
            Fact::Address { memory: 0, bytes },
        ])
        .unwrap_or_default();
    let location = if random.one_in(2) { Location::Reg(random.reg()) } else { Location::Slot(random.below(8) as u16) };
    let chosen = random.below(function.claims.len());
    let Some(claim) = function.claims.get_mut(chosen) else {
        let at = random.below(function.code.len()) as u32;
        function.claims.push(Claim { at, location, fact });
        return;
    };
    match random.below(4) {
        0 => {
            function.claims.remove(chosen);
        }
        1 => claim.fact = fact,
        2 => claim.location = location,
        _ => {
            let new = Claim { location, fact, ..*claim };
            function.claims.insert(chosen, new);
        }
    }
}

/// Imported functions return anything.
struct Anything(u64);

impl Imports for Anything {
    fn call(&mut self, _: u32, instance: &mut CompiledInstance) -> Result<(), SimulationEnd> {
        instance.set_arg(0, self.0);
        Ok(())
    }
}

/// Runs defined function `index`; a fault of the code, if it commits one.
pub fn fault(compiled: &Compiled, program: &Program, index: usize, random: &mut Random<'_>) -> Option<String> {
    let mut simulator = Simulator::new(compiled, program, 1 << 14).ok()?;
    simulator.steps = 3000;
    simulator.surroundings.memory = 1 << 21;
    simulator.surroundings.elements = 1000;
    let args = std::array::from_fn(|_| random.number());
    simulator.stress = Some(Stress::new(args, 1 + random.next() % 400));
    let index = index as u32 + compiled.declarations.imported;
    match simulator.run(index, &mut Anything(random.number())) {
        SimulationEnd::Violation(text) => Some(format!("{text}; arguments {args:x?}")),
        _ => None,
    }
}

pub fn listing(function: &Function) -> String {
    let mut text = format!("frame {}\n", function.frame);
    for (at, insn) in function.code.iter().enumerate() {
        for claim in function.claims.iter().filter(|claim| claim.at as usize == at) {
            text += &format!("    {:?}: {:?}\n", claim.location, claim.fact);
        }
        let (dst, src) = (insn.dst().0, insn.src().0);
        text += &format!("{at}: {:02x} R{dst} R{src} {} {}\n", insn.code, insn.off, insn.imm);
    }
    text
}
