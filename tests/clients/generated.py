"""A client made from our own document by openapi-python-client runs a job from its creation to its deletion."""

import importlib
import json
import os
import sys

sys.path.insert(0, os.environ["GENERATED"])
client_of = importlib.import_module("generated.client").AuthenticatedClient
models = importlib.import_module("generated.models")
jobs = {name: importlib.import_module(f"generated.api.jobs.jobs_{name}") for name in ("create", "get", "update", "delete", "receipts", "list_by_resource_group")}
keys = importlib.import_module("generated.api.bit_locker_keys.bit_locker_keys_list")
places = importlib.import_module("generated.api.locations.locations_list")

client = client_of(base_url=os.environ["SERVER"], token=os.environ["TOKEN"])
version = "2021-01-01"
place = (os.environ["SUBSCRIPTION"], "group")
job = (*place, "generated")


def answered(response, status):
    assert response.status_code == status, response.content
    return response.parsed


def version_of(operation):
    module = importlib.import_module(f"generated.models.{operation}_api_version")
    return getattr(module, "".join(word.capitalize() for word in operation.split("_")) + "ApiVersion")(version)


def call(name, *arguments, **fields):
    return jobs[name].sync_detailed(*arguments, client=client, api_version=version_of(f"jobs_{name}"), **fields)


found = answered(places.sync_detailed(client=client, api_version=version_of("locations_list")), 200)
wanted = json.loads(os.environ["IMPORT"])
wanted["location"] = found.value[0].name

created = answered(call("create", *job, body=models.PutJob.from_dict(wanted), if_none_match="*"), 201)
assert created.properties.state == models.JobState.CREATING, created
assert call("create", *job, body=models.PutJob.from_dict(wanted), if_none_match="*").status_code == 412
kept = answered(keys.sync_detailed(*job, client=client, api_version=version_of("bit_locker_keys_list")), 200)
assert kept.value[0].bit_locker_key == wanted["properties"]["driveList"][0]["bitLockerKey"]
parcel = {"carrierName": "FedEx", "trackingNumber": "T-1", "driveCount": 1}
ship = models.UpdateJob.from_dict({"properties": {"state": "Shipping", "deliveryPackage": parcel}})
assert answered(call("update", *job, body=ship), 200).properties.state == models.JobState.SHIPPING
cancel = models.UpdateJob.from_dict({"properties": {"cancelRequested": True}})
assert answered(call("update", *job, body=cancel), 200).properties.cancel_requested is True
listed = answered(call("list_by_resource_group", *place, top=1), 200)
assert [one.name for one in listed.value] == ["generated"], listed
assert answered(call("receipts", *job), 200).cancel_requested is True
assert call("delete", *job).status_code == 409, "it is on its way"
assert call("get", *place, "nothing").parsed.error.code == "ResourceNotFound"
