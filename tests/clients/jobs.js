// The public JavaScript client of the real service, unchanged, against ours (api-version 2021-01-01).
"use strict";
const assert = require("node:assert");
const fs = require("node:fs");
const { StorageImportExport } = require("@azure/arm-storageimportexport");

const { SERVER, TOKEN, SUBSCRIPTION, IMPORT, PREPARED, PACKAGING_SEEN } = process.env;
const credential = { getToken: async () => ({ token: TOKEN, expiresOnTimestamp: Date.now() + 3600e3 }) };
const client = new StorageImportExport(credential, SUBSCRIPTION, { endpoint: SERVER, $host: SERVER, retryOptions: { maxRetries: 0 } });
const group = "group";
const delivery = { carrierName: "FedEx", trackingNumber: "T-1", driveCount: 0, shipDate: "8/11/2017 9:05:00 PM" };

async function all(pages) {
    const items = [];
    for await (const item of pages) items.push(item);
    return items;
}

async function refused(promise, statusCode, code) {
    await assert.rejects(promise, (error) => {
        assert.strictEqual(error.statusCode, statusCode, error.message);
        assert.strictEqual(error.code, code, error.message);
        return true;
    });
}

async function until(name, state) {
    for (let left = 300; left > 0; left -= 1) {
        const job = await client.jobs.get(name, group);
        if (job.properties.state === state) return job;
        await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`${name} did not come to ${state}`);
}

async function main() {
    const operations = await all(client.operations.list());
    assert.ok(operations.some((one) => one.name === "Microsoft.ImportExport/jobs/write"));
    const place = (await all(client.locations.list()))[0];
    assert.strictEqual((await client.locations.get(place.name)).name, place.name);
    assert.deepStrictEqual(place.alternateLocations, [place.id]);
    await refused(client.locations.get("nowhere"), 404, "LocationNotFound");

    // A whole job.
    const body = JSON.parse(IMPORT);
    const created = await client.jobs.create("js-whole", group, body);
    assert.strictEqual(created.properties.state, "Creating");
    assert.strictEqual(created.properties.driveList[0].bitLockerKey, undefined, "a key is never echoed");
    assert.strictEqual(created.properties.driveList[0].state, "Specified");
    assert.ok(created.systemData && created.identity);
    const keys = await all(client.bitLockerKeys.list("js-whole", group));
    assert.strictEqual(keys[0].bitLockerKey, body.properties.driveList[0].bitLockerKey);
    const updated = await client.jobs.update("js-whole", group, { state: "", logLevel: "Verbose", tags: { a: "b" } });
    assert.strictEqual(updated.properties.logLevel, "Verbose");
    await client.jobs.update("js-whole", group, { state: "Shipping", deliveryPackage: delivery });
    await until("js-whole", "Packaging");
    await refused(client.jobs.update("js-whole", group, { cancelRequested: true }), 409, "JobStateConflict");
    await refused(client.jobs.delete("js-whole", group), 409, "JobStateConflict");
    fs.writeFileSync(PACKAGING_SEEN, "");
    const over = await until("js-whole", "Completed");
    assert.strictEqual(over.properties.percentComplete, 100);
    assert.strictEqual(over.properties.driveList[0].state, "ShippedBack");
    assert.strictEqual(over.properties.returnPackage.driveCount, 1);
    await client.jobs.delete("js-whole", group);
    await refused(client.jobs.get("js-whole", group), 404, "ResourceNotFound");

    // Paging and filters.
    const bySubscription = await all(client.jobs.listBySubscription({ top: 3 }));
    const byGroup = await all(client.jobs.listByResourceGroup(group));
    assert.strictEqual(bySubscription.length, byGroup.length);
    assert.ok(bySubscription.length >= 7);
    assert.ok(bySubscription[0].properties.driveList.length > 0, "the list of a subscription has the drives");
    assert.strictEqual(bySubscription[0].properties.driveList[0].bitLockerKey, undefined, "a key is never listed");
    assert.strictEqual(byGroup[0].properties.driveList, undefined, "the list of a group has summaries");
    const filtered = await all(client.jobs.listBySubscription({ filter: "type eq 'Import' and state eq 'Closed'" }));
    assert.ok(filtered.length >= 1 && filtered.every((job) => job.properties.state === "Closed"));

    // Cancel in every state.
    for (const [state, name] of Object.entries(JSON.parse(PREPARED))) {
        const cancel = client.jobs.update(name, group, { cancelRequested: true });
        if (["Packaging", "Completed", "Closed"].includes(state)) {
            await refused(cancel, 409, "JobStateConflict");
            continue;
        }
        const job = await cancel;
        assert.strictEqual(job.properties.cancelRequested, true);
        const next = { Creating: "Completed", Shipping: "Shipping", Received: "Packaging", Transferring: "Transferring" };
        assert.strictEqual(job.properties.state, next[state], state);
        if (state === "Transferring") {
            const drained = await until(name, "Packaging");
            assert.match(drained.properties.driveList[0].copyStatus, /^Cancelled: \d+ bytes landed before the request/);
        }
        if (state === "Creating") await client.jobs.delete(name, group);
    }
    await refused(client.jobs.update("none", group, { cancelRequested: true }), 404, "ResourceNotFound");
    await refused(client.jobs.create("x", group, body), 400, "InvalidJobName");
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
