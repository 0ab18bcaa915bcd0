#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""profile - the verbs of `apptunnel profile` as programs meet them.

`profile schema` is given to a real validator (python3-jsonschema), which must
accept what `profile show --json` prints of every valid profile among the data
files, and refuse what is spoilt in any of a dozen ways.  `profile test`, `diff`,
`example` and `show --ini` are run on files, with exit codes and places.
OUT says where the programs are (build).
"""
import copy
import glob
import json
import os
import subprocess
import sys
import tempfile

import jsonschema

OUT = os.environ.get("OUT", "build")
ATP = os.path.join(OUT, "apptunnel")
DATA = "tests/unit/profiles/data"
LEAST = 100     # valid profiles: fewer means that the folder was not found
failed = 0


def report(good, what, why=""):
    global failed
    print(f"{'PASS' if good else 'FAIL'} tools: {what}")
    if not good:
        failed += 1
        for line in str(why).splitlines()[:8]:
            print(f"     | {line}")


def run(*args, text=None):
    p = subprocess.run([ATP, *args], input=text, capture_output=True, text=True, timeout=60)
    return p.returncode, p.stdout, p.stderr


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


# ---- the schema ------------------------------------------------------------------
schema = json.loads(run("profile", "schema")[1])
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
required = {"Host", "DeviceId", "UserId", "Certificate", "PrivateKey"}
seen = set()
shown, keys, bad = 0, set(), []
for path in sorted(glob.glob(f"{DATA}/*.ini") + glob.glob("profiles/samples/*.ini")):
    code, out, err = run("profile", "show", path, "--json")
    if code:
        continue
    doc = json.loads(out)
    shown += 1
    keys |= {(k["section"], k["key"]) for k in doc["keys"] if k["value"] is not None}
    # the validator is slow: what it accepted in one profile it need not see in the next
    # (the lines aside, keys are judged one by one), samples are given to it whole
    new = []
    for k in doc["keys"]:
        text = json.dumps([k["section"], k["key"], k["value"], k["origin"]["kind"], k["in_effect"]])
        if text not in seen or k["key"] in required or path.startswith("profiles/"):
            new.append(k)
        seen.add(text)
    doc["keys"] = new
    error = next(validator.iter_errors(doc), None)
    if error:
        bad.append(f"{path}: {list(error.absolute_path)}: {str(error.instance)[:200]}")
report(shown >= LEAST and not bad, f"the schema accepts `show --json` of {shown} profiles", "\n".join(bad) or shown)
# every key that may be shown was shown with a value somewhere
want = {(k["properties"]["section"]["const"], k["properties"]["key"]["const"])
        for k in schema["properties"]["keys"]["items"]["anyOf"]}
report(keys == want, f"all {len(want)} keys of the schema had a value in one of them", want ^ keys)

# the overview in README.md says what has no effect yet, as the table of keys does
row = next(line for line in open("README.md", encoding="utf-8") if line.startswith("| accepted, not in effect yet |"))
said = {k.strip() for k in row.split("|")[2].split(",")}
idle = {k["properties"]["key"]["const"] for k in schema["properties"]["keys"]["items"]["anyOf"]
        if k["properties"]["in_effect"].get("const") is False}
report(said == idle, "README.md names the keys that are not in effect yet", said ^ idle)

good = json.loads(run("profile", "show", "profiles/samples/split-udp.ini", "--json")[1])


def value(doc, key, v):
    next(k for k in doc["keys"] if k["key"] == key)["value"] = v


def drop(doc, key):
    doc["keys"] = [k for k in doc["keys"] if k["key"] != key]


spoilt = {
    "a number below its range": lambda d: value(d, "MTU", 1279),
    "a number above its range": lambda d: value(d, "MTU", 65536),
    "0 < 5 of a number that may be 0": lambda d: value(d, "disconnectTimeoutInSeconds", 4),
    "a number as text": lambda d: value(d, "MTU", "1400"),
    "a word that is none": lambda d: value(d, "LogLevel", "loud"),
    "a word that is refused yet": lambda d: value(d, "Backend", "resolved"),
    "text for true": lambda d: value(d, "AllowInbound", "true"),
    "true where only false is accepted": lambda d: value(d, "AllowLan", True),
    "a prefix without its length": lambda d: value(d, "IPRoutes", ["10.0.0.0"]),
    "a list that is none": lambda d: value(d, "IPRoutes", "10.0.0.0/8"),
    "an empty list": lambda d: value(d, "IPRoutes", []),
    "ports in words": lambda d: value(d, "SplitUDPPortList", ["dns"]),
    "a pin of odd length": lambda d: value(d, "PinnedCertificate", ["sha256:00"]),
    "no DeviceId": lambda d: drop(d, "DeviceId"),
    "null for what is required": lambda d: value(d, "UserId", None),
    "an unknown key": lambda d: d["keys"].append(dict(d["keys"][0], key="Colour")),
    "a key in another section": lambda d: d["keys"][0].update(section="tunnel"),
    "an origin that is none": lambda d: d["keys"][0].update(origin={"kind": "hearsay"}),
    "a line of the file missing": lambda d: d["keys"][0].update(origin={"kind": "file"}),
    "a member too many": lambda d: d.update(more=1),
    "another version": lambda d: d.update(version=2),
}
missed = []
for what, spoil in spoilt.items():
    doc = copy.deepcopy(good)
    spoil(doc)
    if validator.is_valid(doc):
        missed.append(what)
report(validator.is_valid(good) and not missed, f"the schema refuses {len(spoilt)} kinds of mistakes", "\n".join(missed))

with tempfile.TemporaryDirectory() as folder:
    corp = write(f"{folder}/corp.ini", run("profile", "example")[1].replace(
        "#IPRoutes =", "IPRoutes =").replace("#ExcRoutes =", "ExcRoutes =").replace(
        "#SplitUDPPortList =", "SplitUDPPortList ="))

    # ---- the example ---------------------------------------------------------------
    code, out, err = run("profile", "check", corp)
    missing = [line for line in out.splitlines() if "is not there" in line]
    report(code == 6 and len(missing) == 4 and len(out.splitlines()) == 4,
           "check of the example misses its four files, and finds nothing else", out)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                          "-keyout", f"{folder}/laptop.key", "-out", f"{folder}/laptop.crt", "-days", "90", "-subj",
                          "/CN=laptop"], capture_output=True, check=False)
    for name in "sentry.pem", "sentry-next.pem":
        write(f"{folder}/{name}", open(f"{folder}/laptop.crt").read())
    code, out, err = run("profile", "check", corp, "--json")
    codes = [f["code"] for f in json.loads(out)["findings"]]
    report(code == 0 and codes == ["W428", "W428"], "with its files it is valid; self-signed pins are advised against", out)

    # ---- written and read again --------------------------------------------------------
    code, out, err = run("profile", "show", corp, "--ini")
    again = write(f"{folder}/again.ini", out)
    code, out, err = run("profile", "diff", corp, again)
    report(code == 0 and out == "" and "the same is in effect" in err, "what show --ini prints has the same effect", out + err)

    # ---- differences ---------------------------------------------------------------------
    other = write(f"{folder}/other.ini", open(corp).read().replace("10.10.10.10/32", "10.10.0.0/16").replace("#MTU = 1400", "MTU = 1300"))
    code, out, err = run("profile", "diff", corp, other)
    report(code == 0 and "+ 10.10.0.0/16" in out and "- 10.10.10.10/32" in out and "[tunnel] MTU" in out, "diff in words", out + err)
    code, out, err = run("profile", "diff", corp, other, "--json")
    changes = {c["key"]: c for c in json.loads(out)["changes"]}
    report(sorted(changes) == ["ExcRoutes", "MTU"] and changes["MTU"]["to"] == 1300 and
           changes["ExcRoutes"]["added"] == ["10.10.0.0/16"], "diff as JSON", out)
    # the commands are those of the two plans: applied to the one they give the other
    plans = []
    for path in corp, other:
        plan = [line[4:] for line in run("plan", path)[1].splitlines()]
        plans.append([line.replace('"apptunnel other"', '"apptunnel corp"') for line in plan])
    commands = json.loads(out)["commands"]
    added = [c for c in commands if " delete " not in c]
    gone = [c.replace(" delete ", " add ") for c in commands if " delete " in c]
    new = [c for c in plans[1] if c not in plans[0] or c.startswith("nft -f")]
    old = [c for c in plans[0] if c not in plans[1] and " route add " in c]
    report(len(new) > 2 and added == new and sorted(gone) == sorted(old) and commands == added + [c for c in commands if " delete " in c],
           "diff: what of the machine would change, new before old", "\n".join(commands + ["--"] + new + ["--"] + old))
    text = run("profile", "diff", corp, other)[1]
    report([line[4:] for line in text.splitlines() if line.startswith("[#] ")] == commands, "diff in words has the same commands", text)
    code, out, err = run("profile", "diff", corp, f"{folder}/none.ini")
    report(code == 10 and not out and "none.ini" in err, "diff with a file that is not there: exit 10", err)
    broken = write(f"{folder}/broken.ini", "[tunnel]\nMTU = 1\n")
    code, out, err = run("profile", "diff", corp, broken)
    report(code == 6 and not out and "broken.ini:2:7: error: MTU" in err, "diff with an invalid one: exit 6, and why", err)

    # ---- cases -----------------------------------------------------------------------------
    cases = write(f"{folder}/cases.txt", """# what corp.ini is meant to do
tcp 10.1.2.3:443 \u2192 tunnel
tcp 10.1.2.3:443->tunnel

udp 10.1.2.3:53     -> tunnel
UDP 10.1.2.3:1025   -> Direct
tcp 10.10.10.10:22  -> direct
icmp 172.16.0.1     -> tunnel
icmp 192.0.2.1      -> direct
tcp [fd00::1]:80    -> direct
udp 198.18.53.53:53 -> tunnel
tcp 198.18.53.53:80 -> block
""")
    code, out, err = run("profile", "test", cases, "--profile", corp)
    report(code == 0 and out == "10 passed, 0 failed\n" and not err, "test: all cases hold: exit 0", out + err)
    code, out, err = run("profile", "test", "-", "--profile", corp,
                         text="tcp 10.1.2.3:443 -> direct\nudp 10.1.2.3:9999 -> tunnel\ntcp 10.1.2.3:443 -> tunnel\n")
    report(code == 6 and "-:1: tcp 10.1.2.3:443: expected direct, is tunnel: 10.1.2.3 is in IPRoutes 10.0.0.0/8" in out and
           "-:2: udp 10.1.2.3:9999: expected tunnel, is direct" in out and out.endswith("1 passed, 2 failed\n"),
           "test: cases that do not hold: exit 6, each with its reason", out + err)
    code, out, err = run("profile", "test", cases, "--profile", corp, "--json")
    doc = json.loads(out)
    report(doc["passed"] == 10 and doc["failed"] == 0 and doc["cases"][0]["line"] == 2 and
           all(c["passed"] and c["reason"] and c["verdict"] == c["expected"] for c in doc["cases"]), "test as JSON", out)
    os.mkdir(f"{folder}/only")
    write(f"{folder}/only/corp.ini", open(corp).read())
    code, out, err = run("--profile-dir", f"{folder}/only", "profile", "test", cases)
    report(code == 0 and out == "10 passed, 0 failed\n", "test without --profile: the only one in the folder", out + err)
    # explain and test are one code
    differ = []
    for c in doc["cases"]:
        said = json.loads(run("explain", *c["case"].split(), "--profile", corp, "--json")[1])
        if (said["verdict"], said["reason"]) != (c["verdict"], c["reason"]):
            differ.append(c["case"])
    report(not differ, "explain says of each case what test says", differ)
    for bad_line, place, what in (
            ("tcpx 10.1.2.3:1 -> tunnel", "1:1", "the protocol is"), ("  tcp 10.1.2.3 -> tunnel", "1:7", "need DEST:PORT"),
            ("icmp 10.1.2.3:1 -> tunnel", "1:6", "no ports"), ("tcp 10.1.2.300:1 -> tunnel", "1:5", "must be an address"),
            ("tcp 10.1.2.3:0 -> tunnel", "1:5", "must be an address"), ("tcp 10.1.2.3:65536 -> tunnel", "1:5", "must be an address"),
            ("tcp web:80 -> tunnel", "1:5", "must be an address"), ("tcp fd00::1:80 -> tunnel", "1:5", "need DEST:PORT"),
            ("tcp 10.1.2.3:1 tunnel", "1:16", "an arrow"), ("tcp 10.1.2.3:1 80 -> tunnel", "1:16", "an arrow"),
            ("tcp 10.1.2.3:1 ->", "1:18", "the verdict is"), ("tcp 10.1.2.3:1 \u2192 tunel", "1:18", "the verdict is"),
            ("tcp 10.1.2.3:1 -> tunnel # why", "1:19", "the verdict is"), ("", "", "holds no case"),
            ("tcp 10.1.2.3:1 -> tun\u00fc\0nel", "1:23", "no text")):
        code, out, err = run("profile", "test", "-", "--profile", corp, text=bad_line + "\n")
        good_place = f"-:{place}: error: " in err if place else True
        report(code == 2 and good_place and what in err, f"test: {bad_line!r} is no case: exit 2, {place or 'and why'}", err)
    code, out, err = run("profile", "test", "-", "--profile", corp, text="tcp 1 -> x\ntcp 10.1.2.3:1 -> tunnel\nudp\n")
    report(code == 2 and err.count("error:") == 2 and out.startswith("1 passed"), "test: every bad line is named, the others are tried", out + err)
    code, out, err = run("profile", "test", f"{folder}/nothing", "--profile", corp)
    report(code == 2 and "nothing" in err, "test: no such file of cases: exit 2", err)
    code, out, err = run("profile", "test", cases, "--profile", broken)
    report(code == 6 and "broken.ini:2:7: error" in err and not out, "test: an invalid profile: exit 6, and why", err)

    # ---- usage -------------------------------------------------------------------------------
    for args in ([], ["frobnicate"], ["diff", corp], ["diff", corp, corp, corp], ["schema", "x"], ["example", "--all"],
                 ["test"], ["test", cases, "--profile"], ["show", corp, "--frob"], ["show", "--ini"], ["check"], ["list", "x"]):
        code, out, err = run("profile", *args)
        report(code == 2 and not out and err.startswith("usage: apptunnel profile"), "usage: profile " + " ".join(map(os.path.basename, args)), err)

sys.exit(1 if failed else 0)
