"""Saves a picture of a web page, to look at the site or at TensorBoard without a display.

python3 -m venv /tmp/browser && /tmp/browser/bin/pip install PySide6
/tmp/browser/bin/python studies/screenshot.py 'http://localhost:6006/#hparams' hparams.png
"""

import argparse
import os

from PySide6.QtCore import QTimer, QUrl
from PySide6.QtWebEngineWidgets import QWebEngineView
from PySide6.QtWidgets import QApplication


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("page", help="address or HTML file")
    add("picture", help="PNG file to write")
    add("--size", type=int, nargs=2, default=(1280, 900), metavar=("WIDTH", "HEIGHT"))
    add("--wait", type=float, default=3, help="seconds between loading and the picture")
    add("--run", default="", help="JavaScript to run in the page before waiting")
    options = parser.parse_args()

    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ.setdefault("QTWEBENGINE_CHROMIUM_FLAGS", "--no-sandbox --disable-gpu")
    app = QApplication([])
    view = QWebEngineView()
    view.resize(*options.size)

    def save() -> None:
        written = view.grab().save(options.picture)
        app.exit(0 if written else 1)

    def loaded(ok: bool) -> None:
        if not ok:
            app.exit(1)
        view.page().runJavaScript(options.run)
        QTimer.singleShot(round(1000 * options.wait), save)

    view.loadFinished.connect(loaded)
    view.load(QUrl.fromUserInput(options.page, os.getcwd()))
    view.show()
    raise SystemExit(app.exec())


if __name__ == "__main__":
    main()
