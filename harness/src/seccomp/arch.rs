//! Architectures: how the kernel names them (`AUDIT_ARCH_*`), and the numbers of their system calls.

use super::table::{ROWS, Row};

/// An architecture that a filter can be for, from any host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Arch {
    /// x86-64. The order is that of the table's columns.
    X86_64,
    /// 32-bit x86.
    X86,
    /// x86-64 with 32-bit pointers: a range of numbers of x86-64.
    X32,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, EABI.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
}

/// `__X32_SYSCALL_BIT` of asm/unistd.h: what an x32 number has on top of that of x86-64.
pub const X32_BIT: u32 = 0x4000_0000;

impl Arch {
    /// Every architecture.
    pub const ALL: [Self; 6] = [Self::X86_64, Self::X86, Self::X32, Self::Aarch64, Self::Arm, Self::Riscv64];

    /// The one that this program was built for.
    pub const fn native() -> Self {
        if cfg!(target_arch = "aarch64") {
            Self::Aarch64
        } else if cfg!(target_arch = "riscv64") {
            Self::Riscv64
        } else {
            Self::X86_64
        }
    }

    /// The name in config.json without `SCMP_ARCH_`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "X86_64",
            Self::X86 => "X86",
            Self::X32 => "X32",
            Self::Aarch64 => "AARCH64",
            Self::Arm => "ARM",
            Self::Riscv64 => "RISCV64",
        }
    }

    /// The architecture of a name, with or without `SCMP_ARCH_`, in any case; also as Go and uname(1)
    /// have it.
    pub fn find(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        let short = upper.strip_prefix("SCMP_ARCH_").unwrap_or(&upper);
        match short {
            "AMD64" => Some(Self::X86_64),
            "ARM64" => Some(Self::Aarch64),
            "386" | "I386" | "I686" => Some(Self::X86),
            _ => Self::ALL.into_iter().find(|arch| arch.name() == short),
        }
    }

    /// Names of libseccomp for architectures that this compiler has no numbers of. A filter need not
    /// know them: what is foreign to it is killed.
    pub fn is_foreign(name: &str) -> bool {
        const FOREIGN: [&str; 16] = [
            "LOONGARCH64",
            "M68K",
            "MIPS",
            "MIPS64",
            "MIPS64N32",
            "MIPSEL",
            "MIPSEL64",
            "MIPSEL64N32",
            "PARISC",
            "PARISC64",
            "PPC",
            "PPC64",
            "PPC64LE",
            "S390",
            "S390X",
            "SHEB",
        ];
        name.strip_prefix("SCMP_ARCH_").is_some_and(|name| FOREIGN.contains(&name))
    }

    /// `AUDIT_ARCH_*` of linux/audit.h.
    pub const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
            Self::Riscv64 => 0xc000_00f3,
        }
    }

    /// The architecture of a call and its number there, for x32 without its bit.
    pub fn of(audit: u32, number: u32) -> Option<(Self, u32)> {
        if audit == Self::X86_64.audit() && number >= X32_BIT && number != u32::MAX {
            return Some((Self::X32, number - X32_BIT));
        }
        Self::ALL.into_iter().find(|arch| arch.audit() == audit).map(|arch| (arch, number))
    }

    /// Whether arguments have 64 bits.
    pub const fn is_wide(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64 | Self::Riscv64)
    }

    /// The number of the call in a row of the table, for x32 without its bit.
    pub fn number(self, row: &Row) -> Option<u32> {
        row.numbers.get(self as usize).and_then(|number| u32::try_from(*number).ok())
    }

    /// Whether a number belongs to the private ones of 32-bit ARM, far above all others.
    pub fn is_private(self, number: u32) -> bool {
        self == Self::Arm && number >= ARM_PRIVATE
    }

    /// The name of a number, for messages.
    pub fn name_of(self, number: u32) -> Option<&'static str> {
        ROWS.iter().find(|row| self.number(row) == Some(number)).map(|row| row.name)
    }
}

/// `__ARM_NR_BASE` of asm/unistd.h.
const ARM_PRIVATE: u32 = 0x000f_0000;
