// SPDX-License-Identifier: GPL-2.0
#include <inttypes.h>
#include <kwasmi_client.h>
#include <stdio.h>

int main(void)
{
	struct kwasmi_ring_entry call = {0};
	struct kwasmi_call_ring ring;
	struct kwasmi_export add;
	int device, service, result;

	device = kwasmi_device_open();
	if (device < 0)
		return 1;
	service = kwasmi_service_find(device, "sum");
	if (service < 0 || kwasmi_function_find(service, "add", &add, NULL))
		return 1;
	if (kwasmi_ring_open(service, 64, 0, &ring))
		return 1;
	call.function = add.function;
	call.args_len = 1;
	for (call.values[0] = 1; call.values[0] <= 64; call.values[0]++)
		if (kwasmi_ring_add(&ring, &call))
			return 1;
	result = kwasmi_ring_run(&ring, 1000000000, NULL);
	if (result)
		fprintf(stderr, "sum: %s\n", kwasmi_call_text(result));
	while (kwasmi_ring_take(&ring, &call))
		if (!call.error)
			printf("%" PRIu64 "\n", (uint64_t)call.values[0]);
	kwasmi_ring_close(&ring);
	return result != 0;
}
