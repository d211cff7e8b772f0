# SPDX-License-Identifier: GPL-2.0
import kwasmi

with kwasmi.open() as device:
    service = device.find("sum")
    try:
        print(service.call("add", 40, timeout=1))
    except kwasmi.CallError as error:
        print(f"sum: {error}; did the function run: {error.ran.value}")
