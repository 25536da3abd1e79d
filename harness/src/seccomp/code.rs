//! Emitting classic BPF backwards: what a jump goes to is known when the jump is written.

use std::collections::BTreeMap;

/// `struct sock_filter` of linux/filter.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if the comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// Constant.
    pub k: u32,
}

/// `BPF_LD | BPF_W | BPF_ABS`: loads a word of `struct seccomp_data`.
pub const LOAD: u16 = 0x20;
/// `BPF_JMP | BPF_JA`.
pub const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub const EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`.
pub const GREATER: u16 = 0x25;
/// `BPF_JMP | BPF_JGE | BPF_K`.
pub const AT_LEAST: u16 = 0x35;
/// `BPF_ALU | BPF_AND | BPF_K`.
pub const AND: u16 = 0x54;
/// `BPF_RET | BPF_K`.
pub const RETURN: u16 = 0x06;

/// Offset of the number in `struct seccomp_data`.
pub const NUMBER: u32 = 0;
/// Offset of the architecture.
pub const ARCHITECTURE: u32 = 4;

/// A place in the program: how many instructions there are from it to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(usize);

/// A program under construction, from its end.
#[derive(Default)]
pub struct Code {
    reversed: Vec<Instruction>,
    returns: BTreeMap<u32, Label>,
    chains: BTreeMap<Vec<(u16, u8, u8, u32)>, Label>,
}

impl Code {
    /// Farthest that a conditional jump reaches.
    const REACH: usize = u8::MAX as usize;

    fn push(&mut self, instruction: Instruction) -> Label {
        self.reversed.push(instruction);
        Label(self.reversed.len())
    }

    fn distance(&self, label: Label) -> usize {
        self.reversed.len() - label.0
    }

    /// Makes sure that a conditional jump, written within the next two instructions, reaches `label`.
    fn near(&mut self, label: Label) -> Label {
        let distance = self.distance(label);
        if distance + 2 <= Self::REACH {
            return label;
        }
        self.push(Instruction { code: JUMP, jt: 0, jf: 0, k: distance as u32 })
    }

    /// The return of a verdict: one that is there already, or a new one.
    pub fn verdict(&mut self, value: u32) -> Label {
        if let Some(label) =
            self.returns.get(&value).copied().filter(|label| self.distance(*label) + 2 <= Self::REACH)
        {
            return label;
        }
        let label = self.push(Instruction { code: RETURN, jt: 0, jf: 0, k: value });
        self.returns.insert(value, label);
        label
    }

    /// A comparison with a jump for either outcome.
    pub fn branch(&mut self, code: u16, k: u32, yes: Label, no: Label) -> Label {
        let yes = self.near(yes);
        let no = self.near(no);
        let (jt, jf) = (self.distance(yes) as u8, self.distance(no) as u8);
        self.push(Instruction { code, jt, jf, k })
    }

    /// Loads a word of `struct seccomp_data`; what follows is what was written last, which must be
    /// `next`.
    pub fn load(&mut self, offset: u32, next: Label) -> Label {
        if self.distance(next) != 0 {
            let distance = self.distance(next) as u32;
            self.push(Instruction { code: JUMP, jt: 0, jf: 0, k: distance });
        }
        self.push(Instruction { code: LOAD, jt: 0, jf: 0, k: offset })
    }

    /// A straight piece of whole instructions, whose own jumps stay inside or go to its end or one
    /// past that; the same piece is written once where it is near enough.
    pub fn chain(&mut self, piece: &[Instruction]) -> Label {
        let key: Vec<_> = piece.iter().map(|one| (one.code, one.jt, one.jf, one.k)).collect();
        if let Some(label) =
            self.chains.get(&key).copied().filter(|label| self.distance(*label) + 2 <= Self::REACH)
        {
            return label;
        }
        self.reversed.extend(piece.iter().rev());
        let label = Label(self.reversed.len());
        self.chains.insert(key, label);
        label
    }

    /// The program, in the kernel's order.
    pub fn finish(mut self) -> Vec<Instruction> {
        self.reversed.reverse();
        self.reversed
    }
}
