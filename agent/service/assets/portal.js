// Live parts and local times. Everything works without this file, by reloading.
"use strict";

function localTimes(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
        const date = new Date(time.dateTime);
        if (!Number.isNaN(date.valueOf())) {
            time.title = time.dateTime;
            time.textContent = date.toLocaleString();
        }
    }
}

function follow(element) {
    const offline = document.getElementById("offline");
    const events = new EventSource(element.dataset.live);
    events.addEventListener("open", () => { if (offline) offline.hidden = true; });
    events.addEventListener("error", () => {
        if (offline) offline.hidden = false;
        if (events.readyState === EventSource.CLOSED) setTimeout(() => follow(element), 3000);
    });
    events.addEventListener("live", (event) => {
        // Whoever is on a control stays on it.
        const same = (one, other) => one.tagName === other.tagName && one.textContent === other.textContent
            && one.getAttribute("href") === other.getAttribute("href");
        const active = element.contains(document.activeElement) ? document.activeElement : null;
        element.innerHTML = event.data;
        localTimes(element);
        if (active) {
            const again = [...element.querySelectorAll(active.tagName)].find((other) => same(active, other));
            if (again) again.focus({ preventScroll: true });
        }
    });
    events.addEventListener("gone", () => { events.close(); location.reload(); });
}

localTimes(document);
for (const element of document.querySelectorAll("[data-live]")) follow(element);
