// The pictures of the manual, from the portal as it is: some days of two halls are played, and each page is looked at when it has
// something to show.
"use strict";
const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");

const { SERVER, alerts, launch, logIn, fill, screenshot } = require("./browser.js");

const { OPERATOR, ACME, DRIVES, CLOCK } = process.env;

const [MINUTE, HOUR, DAY] = [60, 60 * 60, 24 * 60 * 60];

// Whenever the pictures are made, people are at work in them.
const PRESENT = Date.parse(`${new Date().toISOString().slice(0, 10)}T10:42:17Z`);
const SINCE_PRESENT = Math.round((PRESENT - Date.now()) / 1000);

// What happens from here on happened so many seconds ago.
function ago(seconds) {
    fs.writeFileSync(CLOCK, `${Math.round(SINCE_PRESENT - seconds)}\n`);
}

async function call(method, address, body, token = OPERATOR) {
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    const answer = await fetch(`${SERVER}${address}`, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${address}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
}

async function until(what, isSo) {
    const end = Date.now() + 60000;
    while (!await isSo()) {
        assert.ok(Date.now() < end, `waited too long for ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

class Customer {
    constructor(name, token, address) {
        Object.assign(this, { name, token, address });
    }

    job(name) {
        return `/subscriptions/${this.name}/resourceGroups/default/providers/Microsoft.ImportExport/jobs/${name}?api-version=2021-01-01`;
    }

    async creates(name, properties) {
        const storageAccountId = `/subscriptions/${this.name}/resourceGroups/default/providers/Microsoft.Storage/storageAccounts/local`;
        const all = { jobType: "Import", storageAccountId, returnAddress: this.address, ...properties };
        await call("PUT", this.job(name), { location: "Cologne", properties: all }, this.token);
    }

    imports(name, drives) {
        return this.creates(name, { driveList: drives.map((driveId) => ({ driveId })) });
    }

    async ships(name, trackingNumber, driveCount) {
        const deliveryPackage = { carrierName: "FedEx", trackingNumber, driveCount };
        await call("PATCH", this.job(name), { properties: { state: "Shipping", deliveryPackage } }, this.token);
    }

    async cancels(name) {
        await call("PATCH", this.job(name), { properties: { cancelRequested: true } }, this.token);
    }

    isIn(name, state) {
        return until(`${name} in ${state}`, async () => (await call("GET", this.job(name))).properties.state === state);
    }

    // What staff say about a job of this customer.
    order(name, action, body) {
        return call("POST", `/operator/v1/jobs/${this.name}/default/${name}/${action}`, body);
    }
}

// A drive that is mostly empty, as most are: zeros take no time here, so that it is as fast as a real one, and `rate` is what the
// rest is read with. Little has to be moved. In `bad` are places that cannot be read.
function drive(serial, { size, rate, zeros = 0.9, backing = "", bad = [] }) {
    const file = path.join(DRIVES, `${serial}.toml`);
    const fault = ([offset, length]) => `[[fault]]\nkind = "unreadable"\noffset = "${offset}"\nlength = "${length}"\n`;
    fs.writeFileSync(file, `size = "${size}"
serial = "${serial}"
model = "Portable SSD"
seed = ${Number(/\d+$/.exec(serial)[0])}
zero_share = ${zeros}
run_size = "4MiB"
reports_holes = true
${backing && `backing = "${backing}"`}
[timing]
interface_rate = "${rate}"
command_overhead = "10us"
queue_depth = 1
[timing.flash]
read_rate = "${rate}"
write_rate = "${rate}"
read_latency = "50us"
write_latency = "10us"
${bad.map(fault).join("")}`);
    return file;
}

const bayAddress = (name, order) => `/operator/v1/bays/${encodeURIComponent(name)}/${order}`;

async function dock(bay, serial, profile) {
    await call("POST", bayAddress(bay, "dock"), { path: drive(serial, profile) });
}

async function bay(name) {
    return (await call("GET", "/operator/v1/bays")).value.find((one) => one.name === name);
}

// How much of the drive in a bay is done, of one.
async function share(name) {
    const progress = (await bay(name)).work?.progress;
    return progress ? progress.bytes_done / progress.bytes_total : 0;
}

function isHeld(name) {
    return until(`${name} to be held`, async () => (await bay(name)).state === "held");
}

// A job of last week is over, the drives of others come today, and some are still on their way.
async function before(acme, lakeside) {
    ago(8.8 * DAY);
    await lakeside.imports("payroll-2024", ["ZA112X3037"]);
    await lakeside.ships("payroll-2024", "794621880144", 1);
    ago(6.9 * DAY);
    await dock("a-01/09", "ZA112X3037", { size: "2GB", rate: "400MB/s", zeros: 0.95 });
    await lakeside.isIn("payroll-2024", "Packaging");
    await lakeside.order("payroll-2024", "shipBack", { carrierName: "FedEx", trackingNumber: "794622013377" });
    await call("POST", bayAddress("a-01/09", "undock"));
    ago(4.07 * DAY);
    await acme.imports("archive-2019", ["ZA101X7919", "ZA102X5839"]);
    ago(4.03 * DAY);
    await acme.ships("archive-2019", "794630415528", 2);
    ago(3.93 * DAY);
    await acme.imports("lab-scans", ["ZA104X1278", "ZA105X9598"]);
    await acme.ships("lab-scans", "794630415911", 2);
    ago(3.88 * DAY);
    await lakeside.imports("film-rushes", ["ZA106X7518", "ZA107X5438"]);
    await lakeside.ships("film-rushes", "794630500276", 2);
    ago(3.04 * DAY);
    await acme.imports("map-tiles", ["ZA108X3353"]);
    ago(2.92 * DAY);
    await acme.ships("map-tiles", "794631127740", 1);
    ago(2.86 * DAY);
    const blobList = { blobPath: ["/imports/payroll-2024/ZA112X3037.img"] };
    await lakeside.creates("court-records", { jobType: "Export", export: { blobList } });
    await lakeside.ships("court-records", "794631200883", 1);
    ago(1.91 * DAY);
    await acme.imports("genome-a", ["ZA110X9197", "ZA111X7117"]);
    await acme.ships("genome-a", "794633980162", 2);
    ago(1.3 * HOUR);
    await acme.imports("site-plans", ["ZA114X0877"]);
}

// What is in the bays when they are looked at: copies, one of them cancelled, and drives that fail.
async function today(acme, lakeside) {
    ago(31 * MINUTE);
    await dock("a-01/01", "ZA101X7919", { size: "32GB", rate: "20MB/s" });
    await dock("b-01/02", "ZA102X5839", { size: "4GB", rate: "50MB/s", zeros: 0 });
    await dock("b-01/03", "ZA108X3353", { size: "1GB", rate: "40MB/s", zeros: 0.5 });
    await dock("a-01/05", "ZA106X7518", { size: "16GB", rate: "15MB/s" });
    await dock("a-01/06", "ZA107X5438", { size: "4GB", rate: "60MB/s", zeros: 0, bad: [["120MiB", "64MiB"]] });
    await dock("a-01/07", "ZB201X0421", { size: "4GB", rate: "25MB/s", zeros: 1, backing: "memory" });
    await lakeside.order("court-records", "checkIn", { bay: "a-01/07" });
    await dock("a-01/08", "ZA113X2957", { size: "16GB", rate: "20MB/s" });
    ago(24 * MINUTE);
    await dock("a-01/03", "ZA105X9598",
        { size: "512MB", rate: "200MB/s", zeros: 0, bad: [["25MiB", "96KiB"], ["210MiB", "4MiB"], ["300MiB", "1MiB"]] });
    await dock("b-01/01", "ZA104X1278",
        { size: "1024MB", rate: "40MB/s", zeros: 0, bad: [["40MiB", "2MiB"], ["300MiB", "24MiB"], ["560MiB", "8MiB"]] });
    for (const [driveId, name] of [["ZA105X9598", "a-01/03"], ["ZA104X1278", "b-01/01"]]) {
        await isHeld(name);
        await acme.order("lab-scans", "retry", { driveId, rescue: true });
    }
    await until("some of map-tiles", async () => await share("b-01/03") > 0.35);
    ago(9 * MINUTE);
    await acme.cancels("map-tiles");
    await acme.isIn("map-tiles", "Packaging");
    await isHeld("a-01/06");
    await until("the rescue to be on its way", async () => await share("b-01/01") > 0.5);
}

// A page in a window of this width, from the top of the first of `from` to the end of the last of `to`, with some room around them.
async function picture(page, name, width, to, from = "body") {
    await page.setViewportSize({ width, height: 800 });
    // At one moment: a part of a live page may be another one at the next.
    const [top, bottom] = await page.evaluate(([from, to]) => {
        const last = [...document.querySelectorAll(to)].at(-1);
        return [document.querySelector(from).getBoundingClientRect().top, last.getBoundingClientRect().bottom].map((y) => y + scrollY);
    }, [from, to]);
    const y = Math.max(0, Math.floor(top) - 16);
    await screenshot(page, name, { fullPage: true, clip: { x: 0, y, width, height: Math.ceil(bottom) + 16 - y } });
}

async function staffsPictures(staff) {
    await staff.goto(`${SERVER}/portal/bays?view=cards&hall=Hall+B`);
    await picture(staff, "bays", 960, ".cards");
    await staff.goto(`${SERVER}/portal/bays?view=table`);
    await picture(staff, "bays-table", 1280, "table", "h2:has(+ .totals)");
    await staff.goto(`${SERVER}/portal/jobs`);
    await picture(staff, "jobs", 1280, "table");
}

async function customersPictures(customer) {
    const job = (name) => `${SERVER}/portal/job/acme/default/${name}`;
    await customer.goto(job("archive-2019"));
    await picture(customer, "job-phone", 390, "section[aria-labelledby=drives]");
    await customer.goto(job("map-tiles"));
    await picture(customer, "job", 1100, "section[aria-labelledby=drives]");
    await customer.goto(job("genome-a/slip"));
    await picture(customer, "slip", 660, ".checklist");
    await customer.goto(`${SERVER}/portal/new?type=Import`);
    const key = "238810-662376-448998-450120-652806-203390-606320-483076";
    await fill(customer, { jobName: "floor-plans", driveList: `ZA115X4410 ${key}\nZA116X6021 ${key}\nZA117X2246` });
    await customer.check("[name=backupDriveManifest]");
    await customer.click("text=Look it over");
    await customer.waitForSelector("h1:text-is('Is this right?')");
    await picture(customer, "review", 960, "main form");
    await customer.goto(job("lab-scans/drive/ZA105X9598"));
    await customer.waitForSelector(".state .badge.CompletedMoreInfo");
    await picture(customer, "drive", 960, "section[aria-labelledby=documents]");
}

async function main() {
    ago(10 * DAY);
    const { token } = await call("POST", "/operator/v1/tokens", { name: "lakeside", subscriptions: ["lakeside"] });
    const acme = new Customer("acme", ACME, {
        recipientName: "Acme Archive", streetAddress1: "Main Street 1", postalCode: "50667", city: "Cologne",
        countryOrRegion: "Germany", phone: "+49 221 5550170", email: "archive@acme.example",
    });
    const lakeside = new Customer("lakeside", token, {
        recipientName: "Lakeside Studios", streetAddress1: "Quay 4", postalCode: "6900", city: "Bregenz",
        countryOrRegion: "Austria", phone: "+43 5574 5550160", email: "post@lakeside.example",
    });
    await before(acme, lakeside);
    await today(acme, lakeside);
    ago(0);
    const browser = await launch();
    const everywhereTheSame = { locale: "en-GB", timezoneId: "UTC", colorScheme: "light" };
    const [staff, customer] = [await logIn(browser, OPERATOR, everywhereTheSame), await logIn(browser, ACME, everywhereTheSame)];
    await staffsPictures(staff);
    await customersPictures(customer);
    // One drive of a parcel has come, and the next one is in hand. It would wait for a bay in the pictures before.
    await acme.order("genome-a", "checkIn", { driveId: "ZA110X9197" });
    await staff.goto(`${SERVER}/portal/receive?code=794633980162`);
    await picture(staff, "receive", 960, "article");
    assert.deepStrictEqual(alerts, []);
    await browser.close();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
