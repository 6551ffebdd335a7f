"""The public Python client of the real service, unchanged, against ours (api-version 2016-11-01)."""

import json
import os
import time

from azure.mgmt.storageimportexport import StorageImportExport
from azure.mgmt.storageimportexport import models
from msrest.authentication import BasicTokenAuthentication

group = "group"
client = StorageImportExport(
    BasicTokenAuthentication({"access_token": os.environ["TOKEN"]}), os.environ["SUBSCRIPTION"], base_url=os.environ["SERVER"]
)
# A refusal is an answer, and not repeated.
client.config.retry_policy.retries = 0
delivery = models.PackageInfomation(carrier_name="FedEx", tracking_number="T-2", drive_count=1, ship_date="2026-01-01")


def refused(status, code, call, *arguments):
    try:
        call(*arguments)
    except models.ErrorResponseException as error:
        assert error.response.status_code == status, error.response.text
        assert error.error.code == code, error.response.text
        return
    raise AssertionError(f"{call} was not refused")


def until(name, state):
    for _ in range(300):
        job = client.jobs.get(name, group)
        if job.properties.state == state:
            return job
        time.sleep(0.1)
    raise AssertionError(f"{name} did not come to {state}")


def update(name, **fields):
    return client.jobs.update(name, group, models.UpdateJobParameters(**fields))


assert any(one.name == "Microsoft.ImportExport/jobs/read" for one in client.operations.list())
place = next(iter(client.locations.list()))
assert client.locations.get(place.name).name == place.name
refused(404, "LocationNotFound", client.locations.get, "nowhere")

wanted = json.loads(os.environ["IMPORT"])
details = client._deserialize("JobDetails", wanted["properties"])
body = models.PutJobParameters(location=wanted["location"], properties=details)
created = client.jobs.create("py-whole", group, body)
assert created.properties.state == "Creating", created
assert created.properties.drive_list[0].bit_locker_key is None
keys = list(client.bit_locker_keys.list("py-whole", group))
assert keys[0].bit_locker_key == wanted["properties"]["driveList"][0]["bitLockerKey"]
assert update("py-whole", log_level="Verbose").properties.log_level == "Verbose"
update("py-whole", state="Shipping", delivery_package=delivery)
until("py-whole", "Packaging")
refused(409, "JobStateConflict", client.jobs.delete, "py-whole", group)
open(os.environ["PACKAGING_SEEN"], "x").close()
over = until("py-whole", "Completed")
assert over.properties.percent_complete == 100 and over.properties.drive_list[0].state == "ShippedBack", over
client.jobs.delete("py-whole", group)
refused(404, "ResourceNotFound", client.jobs.get, "py-whole", group)

everything = list(client.jobs.list_by_subscription(top=2))
assert len(everything) == len(list(client.jobs.list_by_resource_group(group))) >= 7, everything
closed = list(client.jobs.list_by_subscription(filter="state eq 'Closed'"))
assert closed and all(job.properties.state == "Closed" for job in closed)

after = {"Creating": "Completed", "Shipping": "Shipping", "Received": "Packaging", "Transferring": "Transferring"}
for state, name in json.loads(os.environ["PREPARED"]).items():
    if state not in after:
        try:
            update(name, cancel_requested=True)
            raise AssertionError(f"a cancel in {state} was not refused")
        except models.ErrorResponseException as error:
            assert (error.response.status_code, error.error.code) == (409, "JobStateConflict"), error.response.text
        continue
    job = update(name, cancel_requested=True)
    assert job.properties.cancel_requested is True and job.properties.state == after[state], (state, job.properties.state)
    if state == "Transferring":
        drained = until(name, "Packaging")
        assert drained.properties.drive_list[0].copy_status.startswith("Cancelled: "), drained.properties.drive_list[0]
    if state == "Creating":
        client.jobs.delete(name, group)
