module suite

go 1.21

require github.com/opencontainers/runtime-tools v0.9.1-0.20251205004911-5e639034dcdc
