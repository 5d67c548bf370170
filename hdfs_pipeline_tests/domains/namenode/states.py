"""Documents of NameNodes and DataNodes in trouble, and a NameNode's state that tests write by hand."""

import gzip
import json
from pathlib import Path
from typing import Any

from hdfs_pipeline_tests.domains.namenode.documents import T0, Document

FOLDER = Path(__file__).parents[2] / "golden" / "jmx_state"


def state_document(name: str) -> Document:
    return json.loads(gzip.decompress((FOLDER / f"{name}.json.gz").read_bytes()))


def node(address: str, contact: float = 0, **more: Any) -> dict[str, Any]:
    """A DataNode as LiveNodes has it."""
    host, _, port = address.rpartition(":")
    return {
        "infoAddr": f"{host}:{int(port) - 2}",
        "infoSecureAddr": f"{host}:0",
        "xferaddr": address,
        "lastContact": contact,
        "adminState": "In Service",
        "capacity": 1000 * 2**30,
        "used": 100 * 2**30,
        "remaining": 800 * 2**30,
        "numBlocks": 10,
        "volfails": 0,
        "version": "3.4.2",
        **more,
    }


def state_of(
    live: dict[str, Any] | None = None,
    dead: dict[str, Any] | None = None,
    emptied: dict[str, Any] | None = None,
    **more: Any,
) -> Document:
    """A NameNode's document with just the beans of its state; `more` are attributes of any of them."""
    live, dead = live or {}, dead or {}
    info = {
        "LiveNodes": json.dumps(live),
        "DeadNodes": json.dumps(dead),
        "DecomNodes": json.dumps(emptied or {}),
        "Safemode": "",
        "NumberOfMissingBlocks": 0,
        "NumberOfMissingBlocksWithReplicationFactorOne": 0,
        "NameJournalStatus": "[]",
        "NameDirStatuses": '{"active":{},"failed":{}}',
    }
    state = {
        "LowRedundancyBlocks": 0,
        "PendingReconstructionBlocks": 0,
        "NumLiveDataNodes": len(live),
        "NumDeadDataNodes": len(dead),
        "NumStaleDataNodes": 0,
        "VolumeFailuresTotal": 0,
        "CapacityTotal": 3000 * 2**30,
        "CapacityUsed": 300 * 2**30,
        "CapacityRemaining": 2400 * 2**30,
    }
    status = {"State": "active", "SlowPeersReport": "[]", "SlowDisksReport": "[]"}
    system = {
        "LastCheckpointTime": int(T0.timestamp() * 1000),
        "TransactionsSinceLastCheckpoint": 0,
        "CorruptBlocks": 0,
    }
    beans = {"NameNodeInfo": info, "FSNamesystemState": state, "NameNodeStatus": status, "FSNamesystem": system}
    for bean in beans.values():
        bean |= {name: value for name, value in more.items() if name in bean}
    unplaced = {name: value for name, value in more.items() if not any(name in bean for bean in beans.values())}
    info |= unplaced
    return {"beans": [{"name": f"Hadoop:service=NameNode,name={name}"} | bean for name, bean in beans.items()]}
