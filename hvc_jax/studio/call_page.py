"""The page of a call: the sender's picture and the receiver's, the network, what is measured."""

import threading

import numpy as np

from hvc_jax.call.call import Call, Figures
from hvc_jax.studio.web import enlarged, open_server

_REFRESH = 0.03  # seconds between looks for a new picture
_TELL_EVERY = 15  # looks between two updates of the figures
_WIDTH = 440


class CallPage:
    """A server whose page, at `url`, shows one call, the same to everybody."""

    def __init__(self, call: Call, host: str = "127.0.0.1", port: int = 8090) -> None:
        """Starts to serve; `port` is the first that is tried.

        `host`: others than loopback open the page to the network. Raises ModuleNotFoundError: viser
        is not installed.
        """
        self._call = call
        self._server, self.url = open_server(host, port)
        gui, blank = self._server.gui, np.full((256, 256, 3), 128, np.uint8)
        gui.set_panel_label("hvc call")
        gui.configure_theme(show_logo=False, show_share_button=False)
        gui.main_panel.dock_right()
        panel = gui.add_panel()
        with panel.add_tab("Sender"):
            self._sent = gui.add_image(enlarged(blank), label="Before the camera", format="jpeg")
        panel.dock_left()
        panel.set_width(_WIDTH)
        self._seen = gui.add_image(enlarged(blank), label="Receiver", format="jpeg")
        out = call.network_now
        self._loss = gui.add_slider("Loss (%)", 0, 20, 1, round(100 * out[0]))
        self._jitter = gui.add_slider("Jitter (ms)", 0, 200, 5, round(1000 * out[1]))
        key = gui.add_button("Ask for a new key picture")
        self._figures = gui.add_markdown("The call begins.")

        for slider in (self._loss, self._jitter):

            @slider.on_update
            def _(_: object) -> None:
                call.network(self._loss.value / 100, self._jitter.value / 1000)

        @key.on_click
        def _(_: object) -> None:
            call.receiver.ask_for_key()

        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hvc call page", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Closes the page."""
        self._stop.set()
        self._thread.join(5)
        self._server.stop()

    def _run(self) -> None:
        call, looks = self._call, 0
        while not self._stop.wait(_REFRESH):
            for place, latest in (
                (self._sent, call.sender.shown),
                (self._seen, call.receiver.shown),
            ):
                picture = latest.take(0)
                if picture is not None:
                    place.image = enlarged(picture)
            looks += 1
            if looks % _TELL_EVERY == 0:
                self._figures.content = described(call.figures(), call.receiver.hearing.loudness)


def described(figures: Figures, loudness: float) -> str:
    """The figures of a call as a table in Markdown."""
    lost = figures.lost / max(figures.received + figures.lost, 1)
    rows = {
        "Frames drawn": f"{figures.frames_per_second:.1f} /s",
        "Pictures": f"{figures.picture_kbps:.1f} kbps",
        "Sound": f"{figures.sound_kbps:.1f} kbps, loudness {loudness:.3f}",
        "Key picture": f"{figures.key_bytes} bytes",
        "Latency": f"{figures.latency_ms:.0f} ms median, {figures.late_ms:.0f} ms p95",
        "of it analysis, drawing": f"{figures.analysis_ms:.0f} ms, {figures.drawing_ms:.0f} ms",
        "Packets lost": f"{figures.lost} ({lost:.1%})",
        "Foreign packets": f"{figures.foreign}",
        "Time": f"{figures.seconds:.0f} s",
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(["| | |", "| --- | --- |", *lines])
