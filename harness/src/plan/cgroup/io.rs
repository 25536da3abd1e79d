//! Limits of block I/O, huge pages, network and RDMA.

use super::limits::{Limits, Missing};
use crate::error::Result;
use crate::spec::{BlockIo, Network, Resources, ThrottleDevice, escape};

/// Plans them.
pub fn plan(resources: &Resources<'_>, limits: &mut Limits<'_>) -> Result<()> {
    if let Some(block) = &resources.block_io {
        block_io(block, limits)?;
    }
    for (index, limit) in resources.hugepage_limits.iter().flatten().enumerate() {
        let field = format!("hugepageLimits/{index}");
        if !limit.page_size.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(limits.wrong(&format!("{field}/pageSize"), format!("{:?}", &*limit.page_size)));
        }
        let suffix = if limits.v2 { "max" } else { "limit_in_bytes" };
        let file = format!("hugetlb.{}.{suffix}", &*limit.page_size);
        limits.put("hugetlb", file, limit.limit, &field);
        // Pages that are reserved and not used yet count as well, where the kernel can (5.7).
        let file = format!("hugetlb.{}.rsvd.{suffix}", &*limit.page_size);
        limits.put_or("hugetlb", file, limit.limit, &field, Missing::Skip);
    }
    if let Some(settings) = &resources.network {
        network(settings, limits)?;
    }
    for (device, rdma) in resources.rdma.iter().flat_map(|map| &map.0) {
        let field = format!("rdma/{}", escape(device));
        let mut value = device.to_string();
        for (key, count) in [("hca_handle", rdma.hca_handles), ("hca_object", rdma.hca_objects)] {
            value += &count.map_or_else(String::new, |count| format!(" {key}={count}"));
        }
        limits.put("rdma", "rdma.max", value, &field);
    }
    Ok(())
}

fn network(network: &Network<'_>, limits: &mut Limits<'_>) -> Result<()> {
    let class = network.class_id.filter(|class| *class != 0);
    let priorities = network.priorities.as_deref().unwrap_or_default();
    if limits.v2 && (class.is_some() || !priorities.is_empty()) {
        return Err(limits.wrong("network", "cgroup v2 has no such setting"));
    }
    if let Some(class) = class {
        limits.put("net_cls", "net_cls.classid", class, "network/classID");
    }
    for (index, one) in priorities.iter().enumerate() {
        let value = format!("{} {}", &*one.name, one.priority);
        limits.put("net_prio", "net_prio.ifpriomap", value, &format!("network/priorities/{index}"));
    }
    Ok(())
}

fn block_io(block: &BlockIo, limits: &mut Limits<'_>) -> Result<()> {
    if let Some(weight) = block.weight.filter(|weight| *weight != 0) {
        weighed(limits, weight);
    }
    let leaf = block.leaf_weight.filter(|weight| *weight != 0);
    if let Some(weight) = leaf {
        if limits.v2 {
            return Err(limits.wrong("blockIO/leafWeight", "cgroup v2 has no such setting"));
        }
        limits.put("blkio", "blkio.leaf_weight", weight, "blockIO/leafWeight");
    }
    for (index, device) in block.weight_device.iter().flatten().enumerate() {
        let field = format!("blockIO/weightDevice/{index}");
        let line = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            if limits.v2 {
                let instead = Missing::Instead("io.weight", line(proportional(weight)));
                limits.put_or("io", "io.bfq.weight", line(weight), &field, instead);
            } else {
                let instead = Missing::Instead("blkio.weight_device", line(weight));
                limits.put_or("blkio", "blkio.bfq.weight_device", line(weight), &field, instead);
            }
        }
        if let Some(weight) = device.leaf_weight.filter(|weight| *weight != 0) {
            if limits.v2 {
                return Err(limits.wrong(&format!("{field}/leafWeight"), "cgroup v2 has no such setting"));
            }
            limits.put("blkio", "blkio.leaf_weight_device", line(weight), &field);
        }
    }
    for (list, field, v1, v2) in [
        (&block.throttle_read_bps_device, "throttleReadBpsDevice", "read_bps_device", "rbps"),
        (&block.throttle_write_bps_device, "throttleWriteBpsDevice", "write_bps_device", "wbps"),
        (&block.throttle_read_iops_device, "throttleReadIOPSDevice", "read_iops_device", "riops"),
        (&block.throttle_write_iops_device, "throttleWriteIOPSDevice", "write_iops_device", "wiops"),
    ] {
        throttle(list.as_deref().unwrap_or_default(), field, (v1, v2), limits);
    }
    Ok(())
}

fn weighed(limits: &mut Limits<'_>, weight: u16) {
    const FIELD: &str = "blockIO/weight";
    if limits.v2 {
        let instead = Missing::Instead("io.weight", proportional(weight).to_string());
        limits.put_or("io", "io.bfq.weight", weight, FIELD, instead);
    } else {
        let instead = Missing::Instead("blkio.weight", weight.to_string());
        limits.put_or("blkio", "blkio.bfq.weight", weight, FIELD, instead);
    }
}

/// io.weight, 1 to 10000, for a weight of 10 to 1000 (the conversion of runc and crun).
fn proportional(weight: u16) -> u16 {
    let above = u32::from(weight).saturating_sub(10);
    (1 + above * 9999 / 990) as u16
}

fn throttle(list: &[ThrottleDevice], field: &str, (v1, v2): (&str, &str), limits: &mut Limits<'_>) {
    for (index, device) in list.iter().enumerate() {
        let field = format!("blockIO/{field}/{index}");
        let (major, minor, rate) = (device.major, device.minor, device.rate);
        if limits.v2 {
            // 0 lifts a limit on v1; v2 has a word for that.
            let rate = if rate == 0 { "max".into() } else { rate.to_string() };
            limits.put("io", "io.max", format!("{major}:{minor} {v2}={rate}"), &field);
        } else {
            let file = format!("blkio.throttle.{v1}");
            limits.put("blkio", file, format!("{major}:{minor} {rate}"), &field);
        }
    }
}
