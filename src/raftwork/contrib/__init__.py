"""Raftwork inside other libraries. Each module needs its own, an extra of the same name:

pip install 'raftwork[joblib]'
"""
