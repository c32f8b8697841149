import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "api"))
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tools"))
